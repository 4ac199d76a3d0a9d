"""Exit codes of a study's command, and how an error becomes one."""

from __future__ import annotations

import sys
from collections.abc import Callable

from mmsr.errors import UserError
from mmsr.study.storage.database import StorageLost

OK = 0
FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130


def exit_code(run: Callable[[], int]) -> int:
    """Run something that returns its exit code; an error becomes one line on stderr and a code."""
    try:
        return run()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return BAD_INPUT
    except StorageLost as error:
        sys.stderr.write(f"error: {error}; the same command goes on when it is back\n")
        return FAILED
    except OSError as error:
        sys.stderr.write(f"error: {error}; the same command goes on when that is mended\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED

"""Exit codes of a study's command, and the error that leads to each."""

from __future__ import annotations

import sys
from collections.abc import Callable

from mmsr.errors import StorageLost, UserError, one_line, reason_and_file

OK = 0
FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130


def exit_code(run: Callable[[], int]) -> int:
    """Call `run` and return its exit code; an error becomes one line on stderr and its own code."""
    try:
        return run()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return BAD_INPUT
    except StorageLost as error:
        told = one_line(f"{error}; once it is back, the same command resumes the study")
        sys.stderr.write(f"error: {told}\n")
        return FAILED
    except OSError as error:
        hint = "once that is fixed, the same command resumes the study"
        told = one_line(f"{reason_and_file(error)}; {hint}")
        sys.stderr.write(f"error: {told}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command resumes it\n")
        return INTERRUPTED

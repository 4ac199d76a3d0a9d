"""Exit codes of a study's command, the error that leads to each, and how Python callers get it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmsr.errors import StorageLost, UserError, one_line, reason_and_file
from mmsr.provenance import the_same
from mmsr.study.results.outcome import Ended, Outcome

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
    except (StorageLost, OSError) as error:
        sys.stderr.write(f"error: {_told(error, 'command')}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted; {the_same()} resumes it\n")
        return INTERRUPTED


def code_of(outcome: Outcome) -> int:
    """The exit code of a study's command.

    Parameters
    ----------
    outcome : how its run ended.
    """
    return {Ended.INTERRUPTED: INTERRUPTED, Ended.FAILED: FAILED}.get(outcome.ended, OK)


@contextmanager
def as_user_errors() -> Iterator[None]:
    """Raise what stops a study as UserError, inside this context: for callers from Python.

    Raises
    ------
    UserError : bad input; or the storage or a disk failed, with that error as its cause.
    """
    try:
        yield
    except (StorageLost, OSError) as error:
        raise UserError(_told(error, "call")) from error


def _told(error: StorageLost | OSError, same: str) -> str:
    if isinstance(error, StorageLost):
        return one_line(f"{error}; once it is back, the same {same} resumes the study")
    hint = f"once that is fixed, the same {same} resumes the study"
    return one_line(f"{reason_and_file(error)}; {hint}")

"""Errors that a user can fix, with messages that say how."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input: the message says what was given, what is allowed and what to do.

    The command line prints the message on one line and exits with code 2, without a traceback.
    """


class StorageLost(RuntimeError):
    """The storage failed while a study was running."""


def unknown(
    kind: str, given: str, known: Iterable[str], hint: str = "", where: str = ""
) -> UserError:
    """Build the error for a name that is not among the known ones.

    Parameters
    ----------
    kind : what the name stands for, e.g. ``"data set"``.
    given : the name as the user wrote it.
    known : the names that exist.
    hint : what to do where no known name is close, e.g. ``"run `mmsr data demo`"``.
    where : where the known names are, e.g. a folder.
    """
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1)
    message = f"unknown {kind} {given!r}"
    message += f": did you mean {close[0]!r}?" if close else ";"
    message += f" known: {', '.join(names) if names else 'none'}"
    message += f" in {where}" if where else ""
    if hint and not close:
        message += f"; {hint}"
    return UserError(message)


def system_error(error: Exception) -> Exception:
    """Find the OSError that a library's error reports in its text.

    Safetensors, for one, says "I/O error: No space left on device (os error 28)".

    Parameters
    ----------
    error : what the library raised.

    Returns
    -------
    The OSError; `error` itself where its text names none.
    """
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else error

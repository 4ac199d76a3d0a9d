"""Errors that a user can fix, with messages that say how.

An error is one line of at most `LONGEST` characters, whatever was given: `UserError` sees to that,
so no message needs to. It shortens what was given, i.e. long words such as paths, and lists; the
beginning of a message and its last part, which says what to do, stay. A message shows a value by
`shown`, which cannot fail. Both hide the secrets of URLs, before they shorten anything.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from typing import Any

from mmsr.masking import masked, masked_value

LONGEST = 300 - len("error: ")
"""Most characters of an error, so that the line on the terminal has 300."""
_GIVEN, _KNOWN = 80, 120
"""Most characters of one given value, and of a list of allowed ones."""
_WORDS = (80, 56, 40, 28)
"""Most characters of a word, e.g. a path, in a message that is too long: the first that will do."""
_LIST = re.compile(r"(?:[^\s,;:]+, ){4,}(?:(?:and|or) )?[^\s,;:]+")
_PARTS = re.compile(r"[;:.] |, (?=or )|[–—] ")
"""Ends of the parts of a message."""
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line and paragraph breaks, changes of direction, halves of characters."""


class UserError(ValueError):
    """Bad input: the message says what was given, what is allowed and what to do.

    The command line prints the message on one line and exits with code 2, without a traceback.

    Parameters
    ----------
    message : what is said, on one line; where it is too long, what was given is shortened.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))

    def _render_traceback_(self, *_: object) -> list[str]:
        """What IPython and notebooks show in place of a traceback: the message says it all."""
        return [f"{type(self).__name__}: {self}"]


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
    message = f"unknown {kind} {shown(given)}"
    message += f": did you mean {close[0]!r}?" if close else ";"
    message += f" known: {_listed(names)}"
    message += f" in {where}" if where else ""
    if hint and not close:
        message += f"; {hint}"
    return UserError(message)


def one_line(text: str) -> str:
    """A text on one line of at most `LONGEST` characters, without control characters and secrets.

    Parameters
    ----------
    text : breaks of lines become blanks; of a longer text, long words and lists are shortened, and
        if that is not enough, what stands before its last part is.
    """
    lines = (line.strip() for line in text.replace("\r", "\n").split("\n"))
    return _fitted(printable(masked(" ".join(filter(None, lines)))), LONGEST)


def printable(text: str) -> str:
    r"""A text whose control characters are written as escapes, e.g. ``\x1b``.

    Parameters
    ----------
    text : what a terminal, or a line of a log, is to show as it is.
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shown(value: Any) -> str:
    """A value as an error shows it: its `repr`, of bounded length, without the secrets of a URL.

    It never fails.

    Parameters
    ----------
    value : what was given.

    Examples
    --------
    >>> shown("gat")
    "'gat'"
    >>> len(shown("a" * 1_000_000))
    80
    """
    try:
        text = repr(value)
    except Exception:  # of a number with over 4,300 digits, say, or of somebody's own class
        text = f"a value of type {type(value).__name__}"
    return _shortened(masked_value(text), _GIVEN)


def _shortened(text: str, most: int) -> str:
    """The text, with `…` for its middle where it has more than `most` characters."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[-tail:]}"


def _fitted(text: str, most: int) -> str:
    """A message of at most `most` characters that begins and ends as `text` does."""
    for width in _WORDS:
        if len(text) > most:
            text = " ".join(_shortened(word, width) for word in text.split(" "))
        if len(text) > most:
            text = _LIST.sub(_first_of, text)
    room = 2 * most // 3
    ends = (found.end() for found in _PARTS.finditer(text, max(0, len(text) - room)))
    if len(text) <= most or (start := next(ends, None)) is None:
        return _shortened(text, most)
    rest = text[start:]
    kept = text[: most - len(rest) - 2]
    return f"{kept.rpartition(' ')[0] or kept}… {rest}"


def _first_of(found: re.Match[str]) -> str:
    """The first two of a list of words, and how many there are."""
    words = found[0].split(", ")
    return f"{', '.join(words[:2])}, … ({len(words)} in all)"


def _listed(names: list[str]) -> str:
    """Names in a list, as many as there is room for."""
    if len(text := ", ".join(names)) <= _KNOWN:
        return text or "none"
    kept = text[:_KNOWN].rpartition(", ")[0]
    return f"{kept or _shortened(names[0], _KNOWN)}, … ({len(names)} in all)"


def reason_of(error: OSError) -> str:
    """The system's message for the number of `error`, or the error's own where it has none."""
    return os.strerror(error.errno) if error.errno else str(error)


def reason_and_file(error: OSError) -> str:
    """As `reason_of`, with the file; where only the error's own text may name it, that text.

    >>> reason_and_file(FileNotFoundError(2, "No such file or directory", "a.csv"))
    'No such file or directory: a.csv'
    >>> reason_and_file(OSError(28, "Cannot write b.arrow"))
    'Cannot write b.arrow'
    """
    if error.filename is None:
        return str(error).removeprefix(f"[Errno {error.errno}] ")
    return f"{reason_of(error)}: {error.filename}"


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

"""The terminal: text is shown as it is, and showing it cannot fail.

Errors of trials, paths, names and settings come from outside: `[/dev/shm/x]` in one of them is no
style, `:x:` is no picture, and an escape sequence does not reach the terminal. So every console is
a `Console` of this module, and what has a style of its own says so by `style=` or as a `Text`,
whose escape sequences do not reach the terminal either.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from typing import IO, Any

import rich.console
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from mmsr.errors import printable


class Console(rich.console.Console):
    """Rich's console, to which a text is a text.

    Parameters
    ----------
    stderr : show it on stderr, so that stdout holds only the result.
    soft_wrap : leave long lines to the terminal.
    file : where to write in place of the terminal.
    width : columns; None takes those of the terminal.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        soft_wrap: bool = False,
        file: IO[str] | None = None,
        width: int | None = None,
    ) -> None:
        super().__init__(
            stderr=stderr,
            soft_wrap=soft_wrap,
            file=file,
            width=width,
            markup=False,
            emoji=False,
            highlight=False,
        )
        if self.width < 1:  # COLUMNS=0 would show nothing
            self.width = 80

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a text of what is to be shown: of lines, cells of tables, titles."""
        return super().render_str(_printable_lines(text), **options)

    def render(
        self,
        renderable: rich.console.RenderableType,
        options: rich.console.ConsoleOptions | None = None,
    ) -> Iterable[Segment]:
        """Make segments of anything; those of a `Text` have not been through `render_str`."""
        for segment in super().render(renderable, options):
            if segment.control is None and (text := _printable_lines(segment.text)) != segment.text:
                segment = Segment(text, segment.style)
            yield segment

    def status(self, status: Any, **options: Any) -> Status:
        """Show what is being done beside a spinner, inside a context."""
        return _Status(_plain(status), console=self, **options)


class _Status(Status):
    """Rich's status, which reads markup even for a console that does not."""

    def update(self, status: Any = None, **options: Any) -> None:
        super().update(_plain(status), **options)


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _plain(text: Any) -> Any:
    return Text(printable(text)) if isinstance(text, str) else text


def tolerant_output() -> None:
    """Let nothing that this process prints end it: work is not lost for want of a reader.

    What the terminal's encoding lacks is replaced, and if the reader goes away (`| head`), or there
    is none, or the disk is full, the rest is printed nowhere. What is not to be lost is written by
    `deliver`.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it stays open
        elif not isinstance(stream, _Unbroken):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
            setattr(sys, name, _Unbroken(stream))


def deliver(text: str) -> None:
    """Write what a command was asked for to stdout.

    Parameters
    ----------
    text : the result. A reader may stop reading it.

    Raises
    ------
    OSError : it could not be written, e.g. because the disk is full.
    """
    sys.stdout.write(text)
    sys.stdout.flush()
    if (lost := getattr(sys.stdout, "lost", None)) is not None:
        raise lost


class _Unbroken:
    """A stream that goes on where it cannot be written.

    Attributes
    ----------
    lost : why something was not written, other than because its reader has gone away.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except UnicodeEncodeError as error:  # of a stream that cannot be told to replace
            return self.write(text.encode(error.encoding, "replace").decode(error.encoding))
        except OSError as error:
            self._to_nowhere(error)
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._to_nowhere(error)

    def _to_nowhere(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):
            self.lost = self.lost or error
        nowhere = open(os.devnull, "w")  # noqa: SIM115 - it may take the place of the stream
        try:
            os.dup2(nowhere.fileno(), self._stream.fileno())
        except (OSError, ValueError):  # it has no file of the system
            self._stream = nowhere
        else:
            nowhere.close()

"""The terminal: text is shown as it is, and showing it cannot fail.

Errors of trials, paths, names and settings come from outside: `[/dev/shm/x]` in one of them is no
style, `:x:` is no picture, and an escape sequence does not reach the terminal. So every console is
a `Console` of this module, and what has a style of its own says so by `style=` or as a `Text`.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from typing import IO, Any

import rich.console
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
        lines = "\n".join(printable(line) for line in text.split("\n"))
        return super().render_str(lines, **options)

    def status(self, status: Any, **options: Any) -> Status:
        """Show what is being done beside a spinner, inside a context."""
        return _Status(_plain(status), console=self, **options)


class _Status(Status):
    """Rich's status, which reads markup even for a console that does not."""

    def update(self, status: Any = None, **options: Any) -> None:
        super().update(_plain(status), **options)


def _plain(text: Any) -> Any:
    return Text(printable(text)) if isinstance(text, str) else text


def tolerant_output() -> None:
    """Let nothing that this process prints end it: work is not lost for want of a reader.

    What the terminal's encoding lacks is replaced, and if the reader goes away (`| head`), or there
    is none, the rest is printed nowhere.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it stays open
        elif not isinstance(stream, _Unbroken):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
            setattr(sys, name, _Unbroken(stream))


class _Unbroken:
    """A stream that goes on where its reader has gone away."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._to_nowhere()
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._to_nowhere()

    def _to_nowhere(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

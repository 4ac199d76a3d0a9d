"""How the command line shows the stages of long work: bars on a terminal, else plain lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mmsr.console import Console


class ConsoleReporter:
    """Shows stages on stderr, so that stdout holds only the result.

    See `mmsr.data.progress.Reporter` for its methods.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show one stage: a bar that fills, or one that pulses where the total is unknown."""
        if not self._console.is_terminal:
            self.note(f"{title} …")
            yield lambda amount: None
            return
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        with bar:
            task = bar.add_task(title, total=total)
            yield lambda amount: bar.advance(task, amount)

    def note(self, message: str) -> None:
        """Print `message` on one line."""
        self._console.print(message, style="dim", soft_wrap=True)

"""How long work reports its progress; the command line shows it, other callers may ignore it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the amount of work that was just done."""


class Reporter(Protocol):
    """Shows the stages of a long piece of work."""

    def stage(self, title: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Context of one stage.

        Parameters
        ----------
        title : what is being done, e.g. ``"reading items"``.
        total : units of work in the stage; None where they are unknown.

        Yields
        ------
        A function to call with the units of work that were just done.
        """
        ...

    def note(self, message: str) -> None:
        """Show `message`, one line, between stages."""
        ...


class Silent:
    """A reporter that says nothing."""

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """Do nothing."""
        yield lambda amount: None

    def note(self, message: str) -> None:
        """Do nothing."""

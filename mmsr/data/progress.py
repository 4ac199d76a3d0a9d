"""How long work tells about itself; the command line draws it, everybody else may stay silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the amount of work that was just done."""


class Reporter(Protocol):
    """Receives the stages of a long piece of work."""

    def stage(self, title: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Begin a stage of `total` units of work; None where the amount is unknown."""
        ...

    def note(self, message: str) -> None:
        """Say one line between stages."""
        ...


class Silent:
    """A reporter that says nothing."""

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """Do nothing."""
        yield lambda amount: None

    def note(self, message: str) -> None:
        """Do nothing."""

"""Where a journal's events are shipped to, and what can go wrong there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mmsr.tracking.base import Event


class Unavailable(Exception):
    """The server cannot store this now; the same events are sent again later."""


class Blocked(Unavailable):
    """The server answers, but can store nothing now, until somebody does something."""


class Refused(Exception):
    """The server does not accept this; sending it again soon is of no use."""


class Forgotten(Exception):
    """The server no longer knows runs that it created."""


class Sink(Protocol):
    """Where events are shipped to. Delivering the same event twice must store it once."""

    @property
    def place(self) -> str:
        """The server's address."""

    def check(self, runs: Mapping[str, str]) -> None:
        """Ask whether the server still has the runs.

        Parameters
        ----------
        runs : the server's run ids by key, oldest first.

        Raises
        ------
        Unavailable : it cannot say.
        Forgotten : it no longer knows the oldest or the newest of them.
        """

    def deliver(self, events: Sequence[Event], runs: dict[str, str]) -> None:
        """Store events.

        Parameters
        ----------
        events : in the order in which they happened.
        runs : the server's run ids by key; new runs are added to it.

        Raises
        ------
        Unavailable : the server cannot store them now; `Blocked`, if it answers all the same.
        Refused : it does not accept one of these events.
        Forgotten : it no longer knows runs that it created.
        """

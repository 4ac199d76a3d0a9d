"""How far long work has come and how long it still takes, and where that is said."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mmsr.console import Console
from mmsr.format import seconds

TRAINING_SHARE = 0.9
"""Share of an epoch's time that is training, as long as no epoch has been measured."""
LINE_SECONDS = 30.0
"""How often piped output gets a line."""
_SOON = 0.02
"""Share of an epoch below which its time is not estimated from its beginning."""


@dataclass(frozen=True)
class Position:
    """Where a training run is."""

    epoch: int
    """The running epoch, counted from 1."""
    share: float
    """Share of it that is done, in [0, 1]."""
    left: float | None
    """Estimated seconds to the end, if no epoch is saved by early stopping; None if unknown."""
    epochs: int | None = None
    """Most epochs of the run, where they are not those of its config."""

    def __str__(self) -> str:
        return f"{100 * self.share:.0f} %" + said_left(self.left)


class Pace:
    """Estimates from the progress of a training loop where it is, and when it ends at the latest.

    Parameters
    ----------
    epochs : most epochs of the run.
    clock : returns seconds.

    Examples
    --------
    >>> seconds = iter([0.0, 9.0])
    >>> pace = Pace(epochs=2, clock=lambda: next(seconds))
    >>> pace.at(1, "train", 0, 100).left is None
    True
    >>> print(pace.at(1, "train", 50, 100))
    45 %, 31 s left
    """

    def __init__(self, epochs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._epochs, self._clock = epochs, clock
        self._epoch, self._begun = 0, 0.0
        self._trained: float | None = None
        self._training_share = TRAINING_SHARE
        self._epoch_seconds: float | None = None

    def at(
        self, epoch: int, stage: str, done: int, total: int, epochs: float | None = None
    ) -> Position:
        """The position at one event of the loop.

        Parameters
        ----------
        epoch : the running epoch.
        stage : `train`, or else what follows it.
        done, total : how much of the stage is done.
        epochs : most epochs of the run, where they are others than were given; infinite if unknown.
        """
        most = self._epochs if epochs is None else epochs
        other = None if epochs is None or math.isinf(epochs) else int(epochs)
        now = self._clock()
        if epoch != self._epoch:
            if self._epoch and epoch == self._epoch + 1:
                self._learn(now - self._begun)
            self._epoch, self._begun, self._trained = epoch, now, None
        part = min(done / total, 1.0) if total else 1.0
        if stage == "train":
            share = part * self._training_share
        else:
            self._trained = now - self._begun if self._trained is None else self._trained
            share = self._training_share + part * (1 - self._training_share)
        whole = self._epoch_seconds
        if whole is None and share > _SOON:
            whole = (now - self._begun) / share
        if not whole or math.isinf(most) or epoch > most:
            return Position(epoch, share, None, other)
        return Position(epoch, share, whole * (most - epoch + 1 - share), other)

    def _learn(self, duration: float) -> None:
        """Take over from the epoch that has ended how long one takes, and its training part."""
        self._epoch_seconds = duration
        if duration > 0:
            self._training_share = 1.0 if self._trained is None else self._trained / duration


class Steps:
    """How far work of equal steps is.

    Parameters
    ----------
    clock : returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._begun = clock, clock()

    def at(self, done: int, total: int) -> str:
        """Percent and time left, in words; `done` of `total` steps are done."""
        left = (self._clock() - self._begun) * (total - done) / done if done else None
        return f"{100 * done / total:.0f} %{said_left(left)}"


class Seldom:
    """Lets something pass at most once in so many seconds.

    Parameters
    ----------
    every : the seconds.
    clock : returns seconds.
    """

    def __init__(self, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock, self._last = every, clock, clock()

    def due(self) -> bool:
        """Whether so many seconds have gone by since it last was, or since the beginning."""
        if (now := self._clock()) - self._last < self._every:
            return False
        self._last = now
        return True


@contextmanager
def progress_line(console: Console, first: str) -> Iterator[Callable[[str], None]]:
    """Show where long work is: one line that changes on a terminal, else a new one now and then.

    Parameters
    ----------
    console : where to show it.
    first : what is shown at first on a terminal.

    Yields
    ------
    A function to call with each message.
    """
    if console.is_terminal:
        with console.status(first, spinner="line") as status:
            yield status.update
        return
    seldom = Seldom(LINE_SECONDS)

    def tell(message: str) -> None:
        if seldom.due():
            console.print(message, soft_wrap=True)

    yield tell


def said_left(left: float | None) -> str:
    """The time left in words, as a sentence goes on; empty if it is None.

    >>> said_left(75.0)
    ', 75 s left'
    """
    return "" if left is None else f", {seconds(left)} left"

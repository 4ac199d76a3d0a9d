"""The board where running trials write how far they are, between two epochs.

It is a Ray actor that computes nothing: a trial sends it a few numbers every other second and does
not wait, and the driver reads them all at once. Reports of epochs go another way (see
`mmsr.study.workers.messages`): what is on the board changes nothing and may be lost.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from mmsr.pace import Pace, Position, Seldom

SECONDS = 2.0
"""Least seconds between two messages of a trial, and between two looks of the driver."""


class Board:
    """The actor: the newest position of each trial."""

    def __init__(self) -> None:
        self._positions: dict[int, Position] = {}

    def write(self, number: int, position: Position) -> None:
        """Keep where the trial `number` is, its `position`."""
        self._positions[number] = position

    def read(self) -> dict[int, Position]:
        """The newest positions of all trials that have written, which are forgotten then."""
        found, self._positions = self._positions, {}
        return found


@contextmanager
def shown_board(show: Callable[[Mapping[int, Position]], None]) -> Iterator[str]:
    """A board on the running Ray, which is read every other second inside this context.

    Parameters
    ----------
    show : called with the new positions by trial, possibly none, in a thread of its own.

    Yields
    ------
    The board's name, by which trials find it.
    """
    import ray

    name = f"mmsr-board-{uuid.uuid4().hex}"
    board: Any = ray.remote(num_cpus=0)(Board).options(name=name).remote()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(SECONDS):
            with suppress(Exception):  # Ray may be lost, which others notice
                show(ray.get(board.read.remote(), timeout=SECONDS))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield name
    finally:
        ended.set()
        thread.join(2 * SECONDS)
        with suppress(Exception):
            ray.kill(board)


def written_to(name: str | None, number: int, epochs: int) -> Callable[[Any], None]:
    """What a trial passes to the training loop to have its progress written on the board.

    Parameters
    ----------
    name : the board's name; None writes nothing.
    number : number of the trial.
    epochs : its most epochs.
    """
    board = _find(name)
    if board is None:
        return lambda progress: None
    pace, seldom = Pace(epochs), Seldom(SECONDS)

    def write(progress: Any) -> None:
        position = pace.at(progress.epoch, progress.stage, progress.done, progress.total)
        if seldom.due():
            board.write.remote(number, position)

    return write


def _find(name: str | None) -> Any:
    if name is None:
        return None
    import ray

    try:
        return ray.get_actor(name)
    except Exception:  # an older driver's, or lost: training does not depend on it
        return None

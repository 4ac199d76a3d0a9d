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
def shown_board(show: Callable[[Mapping[int, Position]], None]) -> Iterator[str | None]:
    """A board on the running Ray, which is read every other second inside this context.

    Parameters
    ----------
    show : called with the new positions by trial, possibly none, in a thread of its own. It is
        called even if there is no board, or if the board is lost.

    Yields
    ------
    The board's name, by which trials find it; None if there is none.
    """
    name = f"mmsr-board-{uuid.uuid4().hex}"
    board = _make(name)
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(SECONDS):
            show(_read(board))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield None if board is None else name
    finally:
        ended.set()
        thread.join(2 * SECONDS)
        if board is not None:
            import ray

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
    lost = False

    def write(progress: Any) -> None:
        nonlocal lost
        if lost:
            return
        try:
            epochs = getattr(progress, "epochs", None)
            position = pace.at(
                progress.epoch, progress.stage, progress.done, progress.total, epochs
            )
            if seldom.due():
                board.write.remote(number, position)
        except Exception:  # Ray is lost, or a trainer tells something else: training goes on
            lost = True

    return write


def _make(name: str) -> Any:
    """A board on the node of this process; None where Ray does not run or takes none."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if not ray.is_initialized():
        return None
    try:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        made = ray.remote(num_cpus=0)(Board).options(name=name, scheduling_strategy=here)
        return made.remote()
    except Exception:  # Ray may be lost, which others notice
        return None


def _read(board: Any) -> Mapping[int, Position]:
    """The new positions on a board; none if it does not answer."""
    if board is None:
        return {}
    import ray

    try:
        found: Mapping[int, Position] = ray.get(board.read.remote(), timeout=SECONDS)
    except Exception:  # it may be lost with Ray, which others notice
        return {}
    return found


def _find(name: str | None) -> Any:
    if name is None:
        return None
    import ray

    try:
        return ray.get_actor(name)
    except Exception:  # an older driver's, or lost: training does not depend on it
        return None

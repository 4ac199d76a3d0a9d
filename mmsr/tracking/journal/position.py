"""How far a journal has been shipped, recorded twice, so that damage to one file costs nothing.

`tracking.state.json` is written after each delivery. `tracking.count.json` is written with each
event, too, but without the runs' ids, which the server knows as well.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr.paths import write_whole
from mmsr.tracking.databases import is_same_place
from mmsr.tracking.journal.file import pack, unpack

STATE, COUNT = "tracking.state.json", "tracking.count.json"


class Position(BaseModel):
    """How far a journal has been written, and shipped to one place."""

    model_config = ConfigDict(frozen=True)

    place: str
    written: int = 0
    """Number of the newest event."""
    shipped: int = 0
    """All events up to this number are stored at the place, or refused, or lost."""
    lost: int = 0
    """How many of these are missing, since the journal was damaged before they were shipped."""
    runs: dict[str, str] = {}
    """The place's run ids by key."""


def read_position(folder: Path, place: str | None = None) -> Position | None:
    """Read the newest record of a journal's position; None where there is none.

    Parameters
    ----------
    folder : where the journal is.
    place : where events go now: of a journal that was shipped elsewhere, nothing is shipped.
        None takes the place where it was shipped last.
    """
    found = [one for name in (STATE, COUNT) if (one := _read(folder / name)) is not None]
    if not found:
        return None
    written = max(one.written for one in found)
    place = found[0].place if place is None else place
    here = [one for one in found if is_same_place(one.place, place)]
    newest = max(here, key=lambda one: one.shipped, default=Position(place=place))
    runs = {key: run for one in here for key, run in one.runs.items()}
    change = {"place": place, "written": max(written, newest.shipped), "runs": runs}
    return newest.model_copy(update=change)


class PositionFile:
    """The position of a journal that is being written and shipped.

    Parameters
    ----------
    folder : where the journal is.
    place : where events go.
    """

    def __init__(self, folder: Path, place: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._now = read_position(folder, place) or Position(place=place)
        self.runs = dict(self._now.runs)
        if self._now.shipped:  # one of the files may be damaged
            with suppress(OSError):
                self.write_shipped(self._now.shipped, self._now.lost)

    @property
    def now(self) -> Position:
        """The position; its runs are those of the last delivery."""
        return self._now

    def write_written(self, number: int) -> None:
        """Record the `number` of the newest event."""
        with self._lock, suppress(OSError):  # the journal has the event; this counts what it loses
            self._now = self._now.model_copy(update={"written": max(number, self._now.written)})
            self._write_count()

    def write_shipped(self, number: int, lost: int) -> None:
        """Record a delivery.

        Parameters
        ----------
        number : all events up to this one are settled.
        lost : how many of them are missing.

        Raises
        ------
        OSError : it cannot be written.
        """
        with self._lock:
            change = {"shipped": number, "lost": lost, "runs": dict(self.runs)}
            self._now = self._now.model_copy(update=change)
            write_whole(self._folder / STATE, packed(self._now))
            self._write_count()

    def _write_count(self) -> None:
        """Overwrite the file in place, which is quicker than to replace it for each event."""
        count = packed(self._now.model_copy(update={"runs": {}}))
        file = os.open(self._folder / COUNT, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.pwrite(file, count, 0)
            os.ftruncate(file, len(count))
        finally:
            os.close(file)


def packed(position: Position) -> bytes:
    """The contents of a file that records `position`, with a checksum."""
    return pack(position.shipped + 1, position.model_dump_json().encode())


def _read(path: Path) -> Position | None:
    try:
        (record,) = unpack(path.read_bytes())
        return Position.model_validate_json(record[2])
    except (OSError, ValueError, ValidationError):
        return None

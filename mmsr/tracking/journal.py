"""The journal: a file that every event is written to before it is shipped."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mmsr.errors import UserError
from mmsr.tracking.base import Event, Metrics

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class Journal:
    """An append-only file of events, one JSON object a line.

    One process writes it; what it has written survives a crash of the process or the machine. A
    line that was cut off by a crash is removed when the journal is opened again.

    Parameters
    ----------
    path : the file; it is made where it is missing.

    Raises
    ------
    UserError : a line is not an event, so the file was damaged or changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = path.open("ab+")
        self._drop_torn_line()
        self._check()

    @property
    def size(self) -> int:
        """Length in bytes: the offset after the newest event."""
        return self._path.stat().st_size

    def append(self, event: Event) -> None:
        """Write one `event`; it is on the disk when this returns."""
        with self._lock:
            self._file.write(_EVENT.dump_json(event) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def read(self, offset: int, limit: int) -> list[tuple[Event, int]]:
        """Read events.

        Parameters
        ----------
        offset : where to start, in bytes.
        limit : most events to read.

        Returns
        -------
        The events, each with the offset after it.
        """
        events: list[tuple[Event, int]] = []
        with self._path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if len(events) == limit or not line.endswith(b"\n"):
                    break
                offset += len(line)
                events.append((_EVENT.validate_json(line), offset))
        return events

    def steps(self) -> set[tuple[str, int]]:
        """Run and step of all metrics in the journal."""
        everything = (event for event, _ in self.read(0, sys.maxsize))
        return {(event.key, event.step) for event in everything if isinstance(event, Metrics)}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _check(self) -> None:
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    _EVENT.validate_json(line)
                except ValidationError:
                    raise UserError(
                        f"{self._path} is damaged in line {number}: remove that line (its event "
                        "will be missing in MLflow), or restore the file"
                    ) from None

    def _drop_torn_line(self) -> None:
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)

"""The journal: a file that every event is written to before it is shipped.

An event is one line, a JSON object: `{"n":17,"len":90,"crc":"9f3a1c2b","data":{…}}`. Its number
`n` counts from 1; the checksum covers number and data. A record is found wherever it stands, so
damage to the file costs the records that it hits and no others, and the numbers that are not found
say how many are missing.
"""

from __future__ import annotations

import os
import re
import threading
import zlib
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mmsr.tracking.base import Event, Metrics, RunClosed, RunOpened

JOURNAL = "tracking.jsonl"
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_HEAD = re.compile(rb'\{"n":([1-9]\d{0,17}),"len":(\d{1,18}),"crc":"([0-9a-f]{8})","data":')
_ABSENT = 2**64 - 1


def pack(number: int, data: bytes) -> bytes:
    """The line of a record.

    Parameters
    ----------
    number : the record's number.
    data : JSON in one line.
    """
    head = (number, len(data), _checksum(number, data), data)
    return b'{"n":%d,"len":%d,"crc":"%s","data":%s}\n' % head


def unpack(line: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the undamaged records in `line`, each as its place in the line, number and data."""
    for head in _HEAD.finditer(line):
        number, data = int(head[1]), line[head.end() : head.end() + int(head[2])]
        if _checksum(number, data) == head[3]:
            yield head.start(), number, data


@dataclass(frozen=True)
class Batch:
    """Events that follow each other in a journal."""

    events: list[tuple[int, Event]]
    """Number and event, in the order of the numbers."""
    last: int
    """All numbers up to this one were looked for; those without an event are missing."""


class Journal:
    """An append-only file of numbered events.

    One process writes it. What it has written survives a crash of the process or the machine.

    Parameters
    ----------
    path : the file; the first event makes it.
    written : number of the newest event, if known: events that were cut off are counted by it.
    """

    def __init__(self, path: Path, written: int = 0) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._places = array("Q")
        """Where the record of each number begins in the file; `_ABSENT` where there is none."""
        self._extend(written)
        self._seen: tuple[int, ...] = ()
        """What the file was when its records were found."""
        self._scan()
        self._unsure = False

    @property
    def last(self) -> int:
        """Number of the newest event."""
        return len(self._places)

    def append(self, event: Event) -> int:
        """Write one `event`, which is on the disk when this returns; returns its number.

        Raises
        ------
        OSError : it cannot be written, e.g. since the disk is full. Later events can be, once that
            is mended, and those before it are undamaged.
        """
        data = EVENT.dump_json(event)
        with self._lock:
            self._make_sure()
            self._unsure = True
            try:
                self._write(data)
            except OSError as error:  # of an open file, it does not name the file
                raise OSError(error.errno, error.strerror, str(self._path)) from None
            self._unsure = False
            return self.last

    def _write(self, data: bytes) -> None:
        with self._path.open("ab+") as file:  # each time, since an editor replaces the file
            known = _identity(os.fstat(file.fileno())) == self._seen or not self._seen
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            torn = file.read(1) not in (b"\n", b"")
            file.write(b"\n" * torn + pack(self.last + 1, data))
            file.flush()
            os.fsync(file.fileno())
            now = _identity(os.fstat(file.fileno()))
        self._places.append(end + torn)
        if known:
            self._seen = now

    def read(self, after: int, limit: int) -> Batch:
        """Read the events that follow a number.

        Parameters
        ----------
        after : number of the event before the first.
        limit : most numbers to look for.
        """
        with self._lock:
            wanted = range(after + 1, min(after + limit, self.last) + 1)
            found = self._look_up(wanted)
            if len(found) < len(wanted) and self._file() != self._seen:
                self._scan()
                found = self._look_up(wanted)
        return Batch(sorted(found.items()), max(after, wanted[-1] if wanted else after))

    def left_open(self) -> dict[str, int]:
        """Keys of the runs that are open, oldest first, and when the journal was written last.

        The time is in milliseconds since 1970. While nobody writes the journal, the process of
        these runs is dead.
        """
        return left_open(self._path)

    def steps(self) -> set[tuple[str, int]]:
        """Run and step of all metrics in the journal."""
        with self._lock:
            self._make_sure()
        return {(e.key, e.step) for _, e in self.all() if isinstance(e, Metrics)}

    def all(self) -> Iterator[tuple[int, Event]]:
        """Yield all events with their numbers."""
        done = 0
        while done < self.last:
            batch = self.read(done, 1000)
            yield from batch.events
            done = batch.last

    def _look_up(self, wanted: range) -> dict[int, Event]:
        found: dict[int, Event] = {}
        if not self._path.exists():
            return found
        with self._path.open("rb") as file:
            for number in wanted:
                if (place := self._places[number - 1]) == _ABSENT:
                    continue
                file.seek(place)
                for start, there, data in unpack(file.readline()):
                    if start == 0 and there == number:
                        try:
                            found[number] = EVENT.validate_json(data)
                        except ValidationError:  # of a newer version
                            self._places[number - 1] = _ABSENT
        return found

    def _make_sure(self) -> None:
        """If a write failed, find out whether the event was written all the same."""
        if self._unsure:
            self._scan()
            self._unsure = False

    def _scan(self) -> None:
        """Find the records anew; of records with the same number, the first one stands."""
        self._places = array("Q", [_ABSENT]) * self.last
        self._seen = self._file()
        line_start = 0
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                for start, number, _ in unpack(line):
                    self._extend(number)
                    if self._places[number - 1] == _ABSENT:
                        self._places[number - 1] = line_start + start
                line_start += len(line)

    def _file(self) -> tuple[int, ...]:
        """Tells whether the file is another one, or was changed."""
        try:
            return _identity(self._path.stat())
        except FileNotFoundError:
            return ()

    def _extend(self, last: int) -> None:
        self._places.extend(array("Q", [_ABSENT]) * (last - self.last))


def left_open(path: Path) -> dict[str, int]:
    """Runs that a journal has opened and not closed, as in `Journal.left_open`.

    Parameters
    ----------
    path : the file; lines that say nothing about it are not parsed.
    """
    last: dict[int, bytes] = {}
    """Data of the events that matter, by number: only the first record of a number stands."""
    newest = b""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        for line in file:
            for _, number, data in unpack(line):
                newest = data
                if b'"kind":"open"' in data or b'"kind":"close"' in data:
                    last.setdefault(number, data)
    runs: dict[str, None] = {}
    for number in sorted(last):
        with suppress(ValidationError):  # of a newer version
            event = EVENT.validate_json(last[number])
            if isinstance(event, RunOpened):
                runs.setdefault(event.key)
            elif isinstance(event, RunClosed):
                runs.pop(event.key, None)
    at = 0
    if runs:
        with suppress(ValidationError):
            at = EVENT.validate_json(newest).time
    return dict.fromkeys(runs, at)


def _identity(there: os.stat_result) -> tuple[int, ...]:
    return there.st_ino, there.st_size, there.st_mtime_ns


def _checksum(number: int, data: bytes) -> bytes:
    return b"%08x" % zlib.crc32(data, zlib.crc32(b"%d:" % number))

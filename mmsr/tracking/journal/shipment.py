"""Shipping a journal to a sink, batch by batch: each event once, in the order of their numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmsr.format import plural
from mmsr.tracking.base import (
    Event,
    Metrics,
    ModelLogged,
    RunClosed,
    RunOpened,
    Tags,
    Unshipped,
    Upload,
)
from mmsr.tracking.journal.file import JOURNAL, Journal
from mmsr.tracking.journal.older import older_position, rewrite_older
from mmsr.tracking.journal.position import PositionFile, read_position
from mmsr.tracking.journal.refused import RefusedEvents, read_refused
from mmsr.tracking.journal.sink import Blocked, Forgotten, Refused, Sink, Unavailable

BATCH = 500
"""Most events that are shipped at once."""
_LASTING = Metrics | Upload | ModelLogged
"""Events that older ones do not undo."""
_QUICK, _SLOW = 1.0, 4.0
"""Seconds: quicker batches are followed by larger ones, slower ones by smaller ones."""


class Shipment:
    """A journal on its way to a sink.

    Parameters
    ----------
    folder : where the journal is: `tracking.jsonl`, with its position and refused events.
    sink : where events go. A sink at another place than before gets the whole journal.
    notice : called with messages for the user.
    """

    def __init__(self, folder: Path, sink: Sink, notice: Callable[[str], None]) -> None:
        rewrite_older(folder)
        self._position = PositionFile(folder, sink.place)
        self._path = folder / JOURNAL
        self.journal = Journal(self._path, self._position.now.written)
        self._refused = RefusedEvents(folder)
        self._sink, self._notice = sink, notice
        self._size = 1
        self._replayed = False
        self._retried = False
        self.abandoned = False
        """Set when another shipment takes over while a delivery of this one is hanging."""

    @property
    def runs(self) -> dict[str, str]:
        """The server's run ids by key."""
        return self._position.runs

    @property
    def shipped(self) -> int:
        """All events up to this number are settled."""
        return self._position.now.shipped

    def append(self, event: Event) -> None:
        """Write an `event` to the journal; it is on the disk when this returns."""
        self._position.write_written(self.journal.append(event))

    def step(self) -> bool:
        """Ship the next events; False where there are none.

        Raises
        ------
        Unavailable : the server cannot store them now; `Blocked`, if the journal is gone.
        """
        try:
            if not self._retried:
                if self.runs:
                    self._sink.check(self.runs)
                self._retry_refused()
                self._retried = True
            return self._ship_batch()
        except Forgotten:  # the store was replaced, or a run was removed for good
            self._notice("tracking: MLflow no longer knows all runs; everything is sent again")
            self._replayed = self._retried = True
            self.runs.clear()
            self._refused.remove([number for number, _ in self._refused.events()])
            self._position.write_shipped(0, lost=0)
            return True

    def unshipped(self, why: str = "") -> Unshipped:
        """What is not stored at the sink, and `why` it waits."""
        waiting, done = 0, self.shipped
        missing = self._position.now.lost
        if not self._path.exists():  # it may be put back
            waiting, done = self.journal.last - done, self.journal.last
        while (batch := self.journal.read(done, 1000)).last > done:
            waiting += len(batch.events)
            missing += batch.last - done - len(batch.events)
            done = batch.last
        return Unshipped(waiting, len(self._refused), missing, why if waiting else "")

    def _ship_batch(self) -> bool:
        before = self._position.now
        if self.journal.last > before.shipped and not self._path.exists():
            raise Blocked(f"the journal {self._path} is gone: put it back")
        batch = self.journal.read(before.shipped, self._size)
        if batch.last == before.shipped:
            return False
        began = time.monotonic()
        try:
            self._deliver(batch.events)
        except Unavailable:  # perhaps since the batch took too long
            self._size = max(self._size // 2, 1)
            raise
        if self.abandoned:
            return False
        took = time.monotonic() - began
        larger, smaller = min(2 * self._size, BATCH), max(self._size // 2, 1)
        self._size = larger if took < _QUICK else smaller if took > _SLOW else self._size
        if missing := batch.last - before.shipped - len(batch.events):
            self._notice(*Unshipped(lost=missing).told())
        self._position.write_shipped(batch.last, before.lost + missing)
        return True

    def _deliver(self, events: Sequence[tuple[int, Event]]) -> None:
        if not events:
            return
        try:
            self._sink.deliver([event for _, event in events], self.runs)
        except (Refused, Forgotten) as error:
            if isinstance(error, Forgotten) and not self._replayed:
                raise
            if len(events) == 1:
                self._refused.add(*events[0], str(error))
                where = self._refused.path
                self._notice(f"tracking server refused something ({error}); see {where}")
                return
            for event in events:
                self._deliver([event])

    def _retry_refused(self) -> None:
        """Send the refused events again: what the server refused may have been restored."""
        if self.shipped == 0:  # all are sent again anyway
            self._refused.remove([number for number, _ in self._refused.events()])
        tried = self._refused.events()
        accepted = {number for number, event in tried if self._accepts(event)}
        if tried:
            self._repeat({event.key: number for number, event in reversed(tried)})
        if accepted:
            self._refused.remove(accepted)
            now = plural(len(accepted), "event")
            self._notice(f"tracking server accepted {now} that it had refused before")

    def _repeat(self, after: Mapping[str, int]) -> None:
        """Send again what older events may have undone: tags, and that a run has ended.

        Parameters
        ----------
        after : numbers by key; what was settled of the run after that one is sent.
        """
        tags: dict[str, dict[str, str]] = {}
        ends: dict[str, RunOpened | RunClosed] = {}
        for number, event in self.journal.all():
            if number > self.shipped:
                break
            if number <= after.get(event.key, number) or isinstance(event, _LASTING):
                continue
            tags[event.key] = {**tags.get(event.key, {}), **event.tags}
            if isinstance(event, RunOpened):
                if event.resume:
                    ends[event.key] = event
            elif isinstance(event, RunClosed):
                ended = ends.get(event.key)
                # One that follows another only recorded something more: the run ended before.
                at = ended.time if isinstance(ended, RunClosed) else event.time
                ends[event.key] = event.model_copy(update={"time": at})
        for key, newest in tags.items():
            if newest:
                self._accepts(Tags(key=key, time=0, tags=newest))
        for end in ends.values():
            if isinstance(end, RunClosed):
                self._accepts(end)

    def _accepts(self, event: Event) -> bool:
        try:
            self._sink.deliver([event], self.runs)
        except (Refused, Blocked):
            return False
        return True


def unshipped(folder: Path, place: str | None = None) -> Unshipped:
    """Read what a journal has not shipped, without asking the server.

    Parameters
    ----------
    folder : where the journal is.
    place : the server's address (`Sink.place`); None takes the one that it was shipped to last.
    """
    position = read_position(folder, place) or older_position(folder, place)
    if position is None:
        return Unshipped()
    waiting = position.written - position.shipped
    return Unshipped(waiting, len(read_refused(folder)), position.lost)

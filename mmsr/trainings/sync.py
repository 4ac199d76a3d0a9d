"""Sending what waits in the journals of this home: of all studies, and of tracked trainings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from mmsr.errors import UserError
from mmsr.format import plural
from mmsr.study.storage.folder import StudyFolder, study_names
from mmsr.study.storage.known_study import DIED, SHIP_SECONDS, look_up, ship, tracking_url
from mmsr.tracking import RunState, Unshipped, check_tracking
from mmsr.tracking.journal.file import JOURNAL, left_open
from mmsr.tracking.journal.shipment import unshipped
from mmsr.tracking.journal.shipper import JournalTracker
from mmsr.trainings.folder import TrainingRecord, only_writer, records, remove
from mmsr.urls import Url

BUSY = "is being run, and sends by itself"


@dataclass(frozen=True)
class Delivery:
    """What became of the events of one journal."""

    name: str
    sent: int = 0
    """Number of events that the server has now and had not before."""
    closed: int = 0
    """Number of runs whose process was dead."""
    left: Unshipped = field(default_factory=Unshipped)
    not_tried: str = ""
    """Why nothing was sent; empty where it was tried."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left for this command to send."""
        return self.not_tried == BUSY or not (self.not_tried or self.left.can_be_sent)

    def told(self) -> list[str]:
        """Say what was sent, and what is left and why."""
        if self.not_tried:
            waits = f" ({plural(self.left.waiting, 'event')} left)" if self.left.waiting else ""
            return [f"{self.name}: {self.not_tried}{waits}"]
        closed = f"; closed {plural(self.closed, 'run')} of a dead process" if self.closed else ""
        lines = [f"{self.name}: sent {plural(self.sent, 'event')}{closed}"]
        return lines + [f"{self.name}: {line}" for line in self.left.told()]


def deliver_all(notice: Callable[[str], None] = lambda _: None) -> Iterator[Delivery]:
    """Send what waits, journal by journal; nothing comes for journals with nothing to send.

    A server that does not answer is asked once, not for each journal.

    Parameters
    ----------
    notice : called with messages for the user.
    """
    away = lru_cache(maxsize=None)(_away)
    for name in study_names():
        if (found := _deliver_study(name, away, notice)) is not None:
            yield found
    for record in records():
        if (found := _deliver_training(record, away, notice)) is not None:
            yield found


def _deliver_study(
    name: str, away: Callable[[Url], str], notice: Callable[[str], None]
) -> Delivery | None:
    folder, what = StudyFolder(name), f"study {name}"
    try:
        before = unshipped(folder.path)
        dead = left_open(folder.path / JOURNAL)
        if not before.can_be_sent and not dead:
            return None
        if folder.is_running():
            return Delivery(what, left=before, not_tried=BUSY)
        known = look_up(name)
        if why := away(known.tracking):
            return Delivery(what, left=before, not_tried=why)
        with folder.locked():
            left = ship(known, notice)
    except (UserError, OSError) as error:
        return Delivery(what, not_tried=str(error))
    return Delivery(what, _sent(before, len(dead), left), len(dead), left)


def _deliver_training(
    record: TrainingRecord, away: Callable[[Url], str], notice: Callable[[str], None]
) -> Delivery | None:
    what = f"training {record.id[:8]} on {record.dataset}"
    try:
        before = unshipped(record.folder)
        dead = left_open(record.folder / JOURNAL)
        if not before.can_be_sent and not dead:
            return None
        place = tracking_url(None, record.tracking)
        with only_writer(record) as ours:
            if not ours:
                return Delivery(what, left=before, not_tried=BUSY)
            if why := away(place):
                return Delivery(what, left=before, not_tried=why)
            left = _send(record, place, notice)
            if left == Unshipped() and record.checkpoint is None:
                remove(record)
    except (UserError, OSError) as error:
        return Delivery(what, not_tried=str(error))
    return Delivery(what, _sent(before, len(dead), left), len(dead), left)


def _send(record: TrainingRecord, place: Url, notice: Callable[[str], None]) -> Unshipped:
    from mmsr.tracking.mlflow import MlflowSink

    sink = MlflowSink(place, record.experiment, record.id)
    tracker = JournalTracker(record.folder, sink, notice)
    for key in tracker.left_open:
        tracker.close_left(key, RunState.INTERRUPTED, DIED)
    return tracker.close(SHIP_SECONDS)


def _sent(before: Unshipped, closed: int, left: Unshipped) -> int:
    waited = before.waiting + before.refused + closed
    return max(waited - left.waiting - left.refused, 0)


def _away(place: Url) -> str:
    """Why a server does not answer; empty where it does."""
    try:
        return check_tracking(place) or ""
    except UserError as error:
        return str(error)

"""A tracker that writes a journal first and ships it from a background thread.

The study never waits for a server. What could not be shipped stays in the journal, and is shipped
when the server is back, when the study is run again, or by `mmsr study sync` or `mmsr tracking
sync`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mmsr import paths
from mmsr.errors import reason_and_file
from mmsr.tracking.base import (
    ERROR_TAG,
    DataUsed,
    Event,
    Metrics,
    ModelLogged,
    RunClosed,
    RunOpened,
    RunState,
    Tags,
    Unshipped,
    Upload,
)
from mmsr.tracking.journal.shipment import Shipment
from mmsr.tracking.journal.sink import Blocked, Sink, Unavailable

_LONGEST_PAUSE = 15.0
_TELL_EVERY = 10.0
_ATTEMPTS = 10
"""So often is an event sent at the end before its server counts as away. A batch that takes too
long fails less often than that before it holds a single event."""


class JournalTracker:
    """Tracker that writes a journal and ships it to a sink; see `Tracker` for its methods.

    Parameters
    ----------
    folder : where the journal is.
    sink : where events go. A sink at another place than before gets the whole journal.
    notice : called with a message when the server goes away, comes back, or refuses something, and
        when events are missing.
    every : seconds over which events are gathered before they are shipped.
    """

    def __init__(
        self,
        folder: Path,
        sink: Sink,
        notice: Callable[[str], None] = lambda _: None,
        every: float = 1.0,
    ) -> None:
        self._told, self._every = notice, every
        self._shipment = Shipment(folder, sink, self._notice)
        self._steps: set[tuple[str, int]] | None = self._shipment.journal.steps()
        """Run and step of all metrics in the journal; None where they must be read anew."""
        self._left_open = self._shipment.journal.left_open()
        self._news, self._closing, self._stopped = (threading.Event() for _ in range(3))
        self._trouble, self._failed = "", 0
        self._thread = threading.Thread(target=self._ship, name="tracking", daemon=True)
        self._news.set()
        self._thread.start()

    def open_run(
        self,
        key: str,
        name: str,
        *,
        parent: str | None = None,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        data: DataUsed | None = None,
        resume: bool = True,
    ) -> None:
        """Start the run `key`, or resume it; see `Tracker.open_run`."""
        self._note(
            RunOpened(
                key=key,
                time=_now(),
                name=name,
                parent=parent,
                params={name: str(value) for name, value in (params or {}).items()},
                tags=dict(tags or {}),
                data=data,
                resume=resume,
            )
        )

    def log(self, key: str, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics of one step, unless the step was recorded before (a repeated epoch).

        Values that are not finite are left out.
        """
        if self._steps is None:
            self._steps = self._shipment.journal.steps()
        if (key, step) in self._steps:
            return
        values = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        try:
            self._note(Metrics(key=key, time=_now(), step=step, values=values))
        except OSError:
            self._steps = None  # it may be written all the same
            raise
        self._steps.add((key, step))

    def tag(self, key: str, tags: Mapping[str, str]) -> None:
        """Set tags of the run `key`."""
        self._note(Tags(key=key, time=_now(), tags=dict(tags)))

    def upload(self, key: str, folder: Path, names: Sequence[str]) -> None:
        """Store files of a folder with the run; they must stay there until they are shipped."""
        self._note(Upload(key=key, time=_now(), folder=paths.recorded(folder), names=list(names)))

    def register_model(
        self,
        key: str,
        folder: Path,
        *,
        name: str,
        alias: str,
        digest: str,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log a model with the run and register it; it must stay there until it is shipped."""
        self._note(
            ModelLogged(
                key=key,
                time=_now(),
                folder=paths.recorded(folder),
                name=name,
                alias=alias,
                digest=digest,
                description=description,
                tags=dict(tags or {}),
            )
        )

    def close_run(self, key: str, state: RunState, tags: Mapping[str, str] | None = None) -> None:
        """End the run `key`."""
        self._note(RunClosed(key=key, time=_now(), state=state, tags=dict(tags or {})))

    @property
    def left_open(self) -> tuple[str, ...]:
        """Keys of the runs that an earlier process opened and did not close, oldest first."""
        return tuple(self._left_open)

    def close_left(self, key: str, state: RunState, error: str | None = None) -> None:
        """End a run that an earlier process left open, at the time when that process last wrote.

        Parameters
        ----------
        key : one of `left_open`.
        state : how it ended.
        error : why.
        """
        tags = {} if error is None else {ERROR_TAG: error}
        self._note(RunClosed(key=key, time=self._left_open.pop(key), state=state, tags=tags))

    def run_id(self, key: str) -> str | None:
        """The server's id of the run `key`; None until it is known."""
        return self._shipment.runs.get(key)

    def close(self, timeout: float) -> Unshipped:
        """Ship what is left, until nothing has arrived for `timeout` seconds.

        A slow server is waited for as long as events arrive; one that fails at once is tried ten
        times, over five seconds.
        """
        self._closing.set()
        self._news.set()
        shipped, since = self._shipment.shipped, time.monotonic()
        tell_at = since + _TELL_EVERY
        while (
            self._thread.is_alive()
            and time.monotonic() < since + timeout
            and self._failed < _ATTEMPTS
        ):
            self._thread.join(min(0.1, timeout))
            if (arrived := self._shipment.shipped) != shipped:
                shipped, since = arrived, time.monotonic()
                if since >= tell_at:
                    left = self._shipment.journal.last - shipped
                    self._notice(
                        f"tracking: sending events, {left} left; if interrupted, they wait"
                    )
                    tell_at = since + _TELL_EVERY
        self._shipment.abandoned = self._thread.is_alive()
        self._stopped.set()
        return self._shipment.unshipped(self._trouble or "the server does not answer in time")

    def _note(self, event: Event) -> None:
        self._shipment.append(event)
        self._news.set()

    def _ship(self) -> None:
        pause = self._every
        while not self._stopped.is_set():
            self._news.wait()
            self._closing.wait(pause)
            self._news.clear()
            try:
                more = True
                while more and not self._stopped.is_set():
                    more = self._shipment.step()
                    self._failed = 0
                    self._say_back()
                pause = self._every
                if self._closing.is_set():
                    return
            except Exception as error:  # whatever it is, the events wait and are tried again
                self._say_away(error)
                if self._closing.is_set():
                    self._failed += 1
                    if self._failed >= _ATTEMPTS:
                        return
                pause = min(2 * pause, _LONGEST_PAUSE)
                self._news.set()
                if self._closing.is_set():
                    self._stopped.wait(min(0.5, self._every))

    def _say_away(self, error: Exception) -> None:
        known = bool(self._trouble)
        match error:
            case Blocked():
                self._trouble = str(error)
            case Unavailable():
                self._trouble = f"the server is away: {error}"
            case OSError():
                self._trouble = reason_and_file(error)
            case _:
                self._trouble = f"unexpected {type(error).__name__}: {error}"
        if not known:
            self._notice(f"tracking: {self._trouble}; events wait, the study continues")

    def _say_back(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._notice("tracking: the server is back; the events that waited are sent")

    def _notice(self, message: str) -> None:
        with suppress(Exception):  # shipping must not depend on a terminal
            self._told(message)


def _now() -> int:
    return time.time_ns() // 1_000_000

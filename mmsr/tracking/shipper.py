"""A tracker that writes a journal first and ships it from a background thread.

The study never waits for a server. What could not be shipped stays in the journal, and is shipped
when the server is back, or when the study is run again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ValidationError

from mmsr import paths
from mmsr.tracking.base import (
    DataUsed,
    Event,
    Metrics,
    RunClosed,
    RunOpened,
    RunState,
    Tags,
    Upload,
)
from mmsr.tracking.journal import Journal

BATCH = 500
"""Most events that are shipped at once."""


class Unavailable(Exception):
    """The server cannot be reached now; the same events are sent again later."""


class Refused(Exception):
    """The server will never accept this; sending it again is of no use."""


class Forgotten(Exception):
    """The server no longer knows runs that it created."""


class Sink(Protocol):
    """Where events are shipped to. Delivering the same event twice must store it once."""

    @property
    def place(self) -> str:
        """The server's address."""

    def deliver(self, events: Sequence[Event], runs: dict[str, str]) -> None:
        """Store events.

        Parameters
        ----------
        events : in the order in which they happened.
        runs : the server's run ids by key; new runs are added to it.

        Raises
        ------
        Unavailable : the server cannot be reached now.
        Refused : it will never accept one of these events.
        Forgotten : it no longer knows runs that it created.
        """


class _Shipped(BaseModel):
    """How far a journal has been shipped, and to where."""

    place: str
    offset: int = 0
    runs: dict[str, str] = {}


class JournalTracker:
    """Tracker that writes a journal and ships it to a sink; see `Tracker` for its methods.

    Parameters
    ----------
    folder : where the journal is: `tracking.jsonl`, with `tracking.state.json` beside it.
    sink : where events go. A sink at another place than before gets the whole journal.
    notice : called with a message when the server goes away, comes back, or refuses something.
    every : seconds over which events are gathered before they are shipped.
    """

    def __init__(
        self,
        folder: Path,
        sink: Sink,
        notice: Callable[[str], None] = lambda _: None,
        every: float = 1.0,
    ) -> None:
        self._journal = Journal(folder / "tracking.jsonl")
        self._state_path = folder / "tracking.state.json"
        self._refused_path = folder / "tracking.refused.jsonl"
        self._sink, self._notice, self._every = sink, notice, every
        self._shipped = self._read_state()
        self._steps = self._journal.steps()
        self._news, self._closing = threading.Event(), threading.Event()
        self._deadline = math.inf
        self._away = self._replayed = False
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
    ) -> None:
        """Start the run `key`, or resume it."""
        self._note(
            RunOpened(
                key=key,
                time=_now(),
                name=name,
                parent=parent,
                params={name: str(value) for name, value in (params or {}).items()},
                tags=dict(tags or {}),
                data=data,
            )
        )

    def log(self, key: str, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics of one step, unless the step was recorded before (a repeated epoch).

        Values that are not finite are left out.
        """
        if (key, step) in self._steps:
            return
        self._steps.add((key, step))
        values = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        self._note(Metrics(key=key, time=_now(), step=step, values=values))

    def tag(self, key: str, tags: Mapping[str, str]) -> None:
        """Set tags of the run `key`."""
        self._note(Tags(key=key, time=_now(), tags=dict(tags)))

    def upload(self, key: str, folder: Path, names: Sequence[str]) -> None:
        """Store files of a folder with the run; they must stay there until they are shipped."""
        self._note(Upload(key=key, time=_now(), folder=paths.recorded(folder), names=list(names)))

    def close_run(self, key: str, state: RunState, tags: Mapping[str, str] | None = None) -> None:
        """End the run `key`."""
        self._note(RunClosed(key=key, time=_now(), state=state, tags=dict(tags or {})))

    def run_id(self, key: str) -> str | None:
        """The server's id of the run `key`; None until it is known."""
        return self._shipped.runs.get(key)

    def close(self, timeout: float) -> int:
        """Ship what is left, for at most `timeout` seconds; returns how many events still wait."""
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._news.set()
        self._thread.join(timeout + 1)
        waiting = len(self._journal.read(self._shipped.offset, limit=1_000_000))
        self._journal.close()
        return waiting

    def _note(self, event: Event) -> None:
        self._journal.append(event)
        self._news.set()

    def _ship(self) -> None:
        pause = self._every
        while True:
            self._news.wait()
            self._closing.wait(pause)
            self._news.clear()
            try:
                while self._ship_batch():
                    pause = self._every
            except (Unavailable, OSError) as error:  # OSError: the state file, on a full disk
                self._say_away(error)
                pause = min(2 * pause, 15.0) if not self._closing.is_set() else self._every
                self._news.set()
                if self._closing.is_set():
                    time.sleep(min(0.5, self._every))
            if self._closing.is_set() and (self._done() or time.monotonic() >= self._deadline):
                return

    def _done(self) -> bool:
        return self._shipped.offset >= self._journal.size

    def _ship_batch(self) -> bool:
        """Ship the next events; False where there are none."""
        batch = self._journal.read(self._shipped.offset, BATCH)
        if not batch:
            return False
        try:
            self._deliver([event for event, _ in batch])
        except Forgotten:
            if self._replayed:
                raise Unavailable("the server does not know its own runs") from None
            self._replayed = True
            self._shipped = _Shipped(place=self._sink.place)
            return True
        if self._away:
            self._away = False
            self._notice("tracking server is back; nothing was lost")
        self._shipped.offset = batch[-1][1]
        self._write_state()
        return True

    def _deliver(self, events: Sequence[Event]) -> None:
        try:
            self._sink.deliver(events, self._shipped.runs)
        except Refused as error:
            if len(events) == 1:
                self._note_refused(events[0], error)
                return
            for event in events:
                self._deliver([event])

    def _say_away(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            self._notice(f"tracking server is away ({error}); the study continues, nothing is lost")

    def _note_refused(self, event: Event, error: Refused) -> None:
        with self._refused_path.open("a") as file:
            file.write(event.model_dump_json() + "\n")
        self._notice(f"tracking server refused something ({error}); see {self._refused_path}")

    def _read_state(self) -> _Shipped:
        fresh = _Shipped(place=self._sink.place)
        try:
            state = _Shipped.model_validate_json(self._state_path.read_text())
        except (FileNotFoundError, ValidationError):
            return fresh
        known = state.place == fresh.place and state.offset <= self._journal.size
        return state if known else fresh

    def _write_state(self) -> None:
        draft = self._state_path.with_suffix(".draft")
        draft.write_text(self._shipped.model_dump_json())
        draft.replace(self._state_path)


def unshipped(folder: Path, place: str) -> bool:
    """Whether a journal holds events that a place has not received.

    Parameters
    ----------
    folder : where the journal is.
    place : the server's address (`Sink.place`).
    """
    try:
        size = (folder / "tracking.jsonl").stat().st_size
        state = _Shipped.model_validate_json((folder / "tracking.state.json").read_text())
    except FileNotFoundError:
        return (folder / "tracking.jsonl").exists()
    except ValidationError:
        return True
    return state.place != place or state.offset < size


def _now() -> int:
    return time.time_ns() // 1_000_000

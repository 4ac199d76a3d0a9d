"""What can be told to a tracker: runs that open, report, upload and close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field


class RunState(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


ERROR_TAG, FAILURE_TAG, TRACEBACK_TAG = "mmsr.error", "mmsr.failure", "mmsr.traceback"
"""Tags of a run that failed. They go when it is opened again."""


class DataUsed(BaseModel):
    """The data that a run reads."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    """What tells these data from others of the name."""
    source: str
    profile: dict[str, int] = {}
    """Figures on their size."""


class Tracker(Protocol):
    """Takes note of runs. Runs are named by keys that the caller chooses.

    No method waits for a server, and saying the same again changes nothing.
    """

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
        """Start the run `key`, or go on with it."""

    def log(self, key: str, step: int, metrics: Mapping[str, float]) -> None:
        """Note metrics of one step."""

    def tag(self, key: str, tags: Mapping[str, str]) -> None:
        """Set tags."""

    def upload(self, key: str, folder: Path, names: Sequence[str]) -> None:
        """Keep files of a folder with the run; they must stay until they are shipped."""

    def close_run(self, key: str, state: RunState, tags: Mapping[str, str] | None = None) -> None:
        """End the run."""

    def run_id(self, key: str) -> str | None:
        """The server's id of the run, once it is known."""

    def close(self, timeout: float) -> int:
        """Ship what is left, for at most `timeout` seconds; returns the events still waiting."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    key: str
    time: int
    """Milliseconds since 1970, taken when it happened: sending twice stores once."""


class RunOpened(_Event):
    """A run starts or goes on."""

    kind: Literal["open"] = "open"
    name: str
    parent: str | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    data: DataUsed | None = None


class Metrics(_Event):
    """Metrics of one step."""

    kind: Literal["metrics"] = "metrics"
    step: int
    values: dict[str, float]


class Tags(_Event):
    """Tags that are set."""

    kind: Literal["tags"] = "tags"
    tags: dict[str, str]


class Upload(_Event):
    """Files to keep with the run."""

    kind: Literal["upload"] = "upload"
    folder: str
    names: list[str]


class RunClosed(_Event):
    """A run ends."""

    kind: Literal["close"] = "close"
    state: RunState
    tags: dict[str, str] = {}


Event = Annotated[RunOpened | Metrics | Tags | Upload | RunClosed, Field(discriminator="kind")]

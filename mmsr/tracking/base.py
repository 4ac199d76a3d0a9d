"""The interface of trackers, and its events: runs that open, log, upload and close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from mmsr.format import plural


class RunState(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


ERROR_TAG, FAILURE_TAG, TRACEBACK_TAG = "mmsr.error", "mmsr.failure", "mmsr.traceback"
"""Tags of a failed run. They are removed when the run is opened again."""
KEY_TAG = "mmsr.key"
"""Tag by which a run is found again: the study's id, a slash, and the run's key."""
NOTE_TAG = "mlflow.note.content"
"""Tag that MLflow's pages show as a description, in Markdown."""
EXPERIMENT = ""
"""Key that stands for the experiment itself, which can be tagged like a run."""


class DataUsed(BaseModel):
    """The data that a run reads."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    """Hash that distinguishes these data from others of the same name."""
    source: str
    profile: dict[str, int] = {}
    """Counts that describe their size."""


@dataclass(frozen=True)
class Unshipped:
    """What a tracker recorded that the server does not have."""

    waiting: int = 0
    """Number of events that wait to be shipped."""
    refused: int = 0
    """Number of events that the server refused."""
    lost: int = 0
    """Number of events that are missing, since the journal was damaged."""
    why: str = ""
    """Why events wait, if known."""

    @property
    def can_be_sent(self) -> bool:
        """Whether there is something that could be sent now."""
        return self.waiting > 0 or self.refused > 0

    def told(self, study: str | None = None) -> list[str]:
        """Say what is not there, and how to send it.

        Parameters
        ----------
        study : name of the study; None where it cannot be sent now.
        """
        again = f": `mmsr study sync {study}` tries again" if study else ""
        sends = f": `mmsr study sync {study}` sends them" if study else ""
        lines = []
        if self.waiting:
            why = f" ({self.why})" if self.why else ""
            waits = "event waits" if self.waiting == 1 else "events wait"
            lines.append(f"tracking: {self.waiting} {waits} to be sent{why}{sends}")
        if self.refused:
            refused = plural(self.refused, "event")
            lines.append(f"tracking: the server refused {refused}{again}")
        if self.lost:
            are = "event is" if self.lost == 1 else "events are"
            lines.append(f"tracking: {self.lost} {are} missing: the journal was damaged")
        return lines


class Tracker(Protocol):
    """Records runs. Runs are identified by keys that the caller chooses.

    No method but `close` waits for a server, and repeating a call changes nothing.
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
        resume: bool = True,
    ) -> None:
        """Start a run, or resume it.

        Parameters
        ----------
        key : identifies the run.
        name : shown for the run.
        parent : key of the run that it is nested in; None nests it in none.
        params : parameters by name; values are recorded as text.
        tags : tags by name.
        data : the data that it reads.
        resume : whether a run that has ended is running again; False only records something more
            with it, and it ends when it has ended.
        """

    def log(self, key: str, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics of one step.

        Parameters
        ----------
        key : the run.
        step : number of the step, e.g. an epoch.
        metrics : values by name.
        """

    def tag(self, key: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run, or of the whole experiment.

        Parameters
        ----------
        key : the run, or `EXPERIMENT`.
        tags : values by name.
        """

    def upload(self, key: str, folder: Path, names: Sequence[str]) -> None:
        """Store files with a run.

        Parameters
        ----------
        key : the run.
        folder : where the files are; they must stay there until they are shipped.
        names : the files' names.
        """

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
        """Log a model with a run, and register it.

        Parameters
        ----------
        key : the run that made it.
        folder : an MLflow model; it must stay there until it is shipped.
        name : name to register it under; it becomes the newest version.
        alias : alias of that version.
        digest : tells models apart: one that is known already is not registered again.
        description : of the version, in Markdown.
        tags : of the version, by name.
        """

    def close_run(self, key: str, state: RunState, tags: Mapping[str, str] | None = None) -> None:
        """End a run.

        Parameters
        ----------
        key : the run.
        state : how it ended.
        tags : last tags to set, by name.
        """

    def run_id(self, key: str) -> str | None:
        """The server's id of the run `key`; None until it is known."""

    def close(self, timeout: float) -> Unshipped:
        """Ship what is left, until nothing has arrived for `timeout` seconds."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    key: str
    time: int
    """When it happened, in milliseconds since 1970; it lets an event sent twice be stored once."""


class RunOpened(_Event):
    """A run starts or resumes."""

    kind: Literal["open"] = "open"
    name: str
    parent: str | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    data: DataUsed | None = None
    resume: bool = True


class Metrics(_Event):
    """Metrics of one step."""

    kind: Literal["metrics"] = "metrics"
    step: int
    values: dict[str, float]


class Tags(_Event):
    """Tags to set."""

    kind: Literal["tags"] = "tags"
    tags: dict[str, str]


class Upload(_Event):
    """Files to store with the run."""

    kind: Literal["upload"] = "upload"
    folder: str
    names: list[str]


class ModelLogged(_Event):
    """A model to store with the run, and to register."""

    kind: Literal["model"] = "model"
    folder: str
    name: str
    alias: str
    digest: str
    description: str = ""
    tags: dict[str, str] = {}


class RunClosed(_Event):
    """A run ends."""

    kind: Literal["close"] = "close"
    state: RunState
    tags: dict[str, str] = {}


Event = Annotated[
    RunOpened | Metrics | Tags | Upload | ModelLogged | RunClosed, Field(discriminator="kind")
]

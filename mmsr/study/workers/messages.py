"""What passes between a trial, its study, and whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from mmsr.config import Config
from mmsr.remote import AnyPath
from mmsr.tracking import RunState


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class Task(_Message):
    """What a worker needs to run a trial: names and settings, no data."""

    number: int
    config: dict[str, Any]
    dataset_hash: str
    device: str
    home: str
    trainer: str
    """Import path of the training generator, `module:function`."""
    checkpoint: str | None = None
    """Checkpoint of an earlier driver's run of the same trial."""
    costs: bool = False
    """Whether its costs are among the study's objectives."""


class Report(_Message):
    """State of a trial after an epoch."""

    epoch: int
    metrics: dict[str, float]
    best_epoch: int
    best_metrics: dict[str, float]
    finished: bool
    seconds: float = 0.0
    """In training, over all workers that had the trial."""
    files: dict[str, int] = {}
    """In a checkpoint: sizes of its other files, which tell whether it is whole."""


class Failure(_Message):
    """The last words of a trial that raised."""

    error: str
    """One line: type and message."""
    traceback: str
    environment: bool = False
    """Whether the machine is at fault, e.g. with a full disk: the trial may go on when that is
    mended, and others would fail as well.
    """


@dataclass(frozen=True)
class Proposal:
    """A trial as the study proposed it."""

    number: int
    key: str
    """Names the trial's tracking run; a retried trial keeps it."""
    config: Config
    settings: dict[str, Any]
    origin: str
    """`known`, `proposed` or `retry`."""
    checkpoint: AnyPath | None = None
    """Where an earlier driver left it."""
    curve: Mapping[int, float] = field(default_factory=dict)
    """Objective by epoch, up to that checkpoint."""

    @property
    def epochs_done(self) -> int:
        """Epochs that an earlier driver has trained."""
        return max(self.curve, default=0)


@dataclass(frozen=True)
class Ending:
    """How a trial ended."""

    state: RunState
    report: Report | None
    seconds: float
    error: str | None = None
    traceback: str | None = None

    def outcome(self) -> dict[str, Any]:
        """What the storage keeps of it."""
        kept: dict[str, Any] = {
            "seconds": round(self.seconds, 3),
            "error": self.error,
            "traceback": self.traceback,
        }
        if self.report is not None:
            kept |= self.report.model_dump(include={"epoch", "best_epoch", "best_metrics"})
        return kept


class Observer(Protocol):
    """Watches a study's trials."""

    def started(self, proposal: Proposal, runner_id: str) -> None:
        """A trial was handed to the runner."""

    def reported(self, proposal: Proposal, report: Report) -> None:
        """A trial has finished an epoch."""

    def recovered(self, proposal: Proposal, reason: str) -> None:
        """A trial's worker died, and the trial goes on elsewhere."""

    def ended(self, proposal: Proposal, ending: Ending) -> None:
        """A trial is over."""

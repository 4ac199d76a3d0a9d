"""The messages between a trial, its study, and the observers of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from mmsr.config import Config
from mmsr.remote import AnyPath
from mmsr.tracking import RunState
from mmsr.tracking.energy import UNMEASURED, Energy

Origin = Literal["known", "proposed", "retry", "warm start"]
"""Where a trial's settings come from: `known` ones were enqueued at the start, `proposed` ones come
from the search method, those of a `retry` from an earlier attempt, and those of a `warm start` from
another study."""


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
    """Checkpoint to resume from, left by an earlier driver's run of the same trial."""
    board: str | None = None
    """Name of the board where it writes how far it is, see `mmsr.study.workers.board`."""
    energy: str | None = None
    """Country of the energy to measure, see `mmsr.tracking.energy.metered`."""
    gpus: float = 0.0
    """GPUs that the trial gets, perhaps a part of one."""
    costs: bool = False
    """Whether to report the config's costs, which are among the study's objectives."""


class Report(_Message):
    """State of a trial after an epoch."""

    epoch: int
    metrics: dict[str, float]
    best_epoch: int
    best_metrics: dict[str, float]
    finished: bool
    seconds: float = 0.0
    """Seconds of training, over all workers that had the trial."""
    energy: Energy = UNMEASURED
    """What the training has used so far, over all workers that had the trial."""
    files: dict[str, int] = {}
    """In a checkpoint: sizes of its other files in bytes, to check that it is complete."""


class Failure(_Message):
    """Why a trial failed, as its worker reports it."""

    error: str
    """One line: type and message."""
    traceback: str
    environment: bool = False
    """Whether the machine is at fault, e.g. with a full disk: other trials would fail as well, and
    the trial can be resumed once that is fixed."""


@dataclass(frozen=True)
class Proposal:
    """A trial that is to run."""

    number: int
    key: str
    """Key of the trial's tracking run, the same for all attempts."""
    config: Config
    settings: dict[str, Any]
    origin: Origin
    checkpoint: AnyPath | None = None
    """Checkpoint to resume from, left by an earlier driver."""
    follows: int | None = None
    """Number of the interrupted trial that this one resumes."""
    curve: Mapping[int, float] = field(default_factory=dict)
    """First objective by epoch, up to that checkpoint."""

    @property
    def epochs_done(self) -> int:
        """Number of epochs that an earlier driver has trained."""
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
        """What the storage records of the ending."""
        kept: dict[str, Any] = {
            "seconds": round(self.seconds, 3),
            "error": self.error,
            "traceback": self.traceback,
        }
        if self.report is not None:
            kept |= self.report.model_dump(include={"epoch", "best_epoch", "best_metrics"})
            if self.report.energy != UNMEASURED:
                kept["energy"] = asdict(self.report.energy)
        return kept


class Observer(Protocol):
    """Is notified of everything that happens to a study's trials."""

    def started(self, proposal: Proposal, runner_id: str) -> None:
        """A trial was handed to the runner.

        Parameters
        ----------
        proposal : the trial.
        runner_id : id that Ray Tune gave it.
        """

    def reported(self, proposal: Proposal, report: Report) -> None:
        """A trial has finished an epoch.

        Parameters
        ----------
        proposal : the trial.
        report : its state after the epoch.
        """

    def recovered(self, proposal: Proposal, reason: str) -> None:
        """A trial's worker died, and the trial resumes on another one.

        Parameters
        ----------
        proposal : the trial.
        reason : why the worker died, in one line.
        """

    def ended(self, proposal: Proposal, ending: Ending) -> None:
        """A trial has ended.

        Parameters
        ----------
        proposal : the trial.
        ending : how it ended.
        """


class Observers:
    """Several observers as one, notified in the given order.

    Parameters
    ----------
    observers : the observers.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def started(self, proposal: Proposal, runner_id: str) -> None:
        """Notify all: a trial was handed to the runner."""
        for observer in self._observers:
            observer.started(proposal, runner_id)

    def reported(self, proposal: Proposal, report: Report) -> None:
        """Notify all: a trial has finished an epoch."""
        for observer in self._observers:
            observer.reported(proposal, report)

    def recovered(self, proposal: Proposal, reason: str) -> None:
        """Notify all: a trial's worker died, and the trial resumes on another one."""
        for observer in self._observers:
            observer.recovered(proposal, reason)

    def ended(self, proposal: Proposal, ending: Ending) -> None:
        """Notify all: a trial has ended."""
        for observer in self._observers:
            observer.ended(proposal, ending)

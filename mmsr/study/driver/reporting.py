"""What a study tells the tracking server: one parent run, one nested run a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from mmsr.provenance import code_tags
from mmsr.remote import AnyPath, RemotePath
from mmsr.study.planning.plan import Plan
from mmsr.study.storage.database import study_uid
from mmsr.study.storage.known_study import STUDY
from mmsr.study.storage.lineage import trial_folder
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.ending import show_end
from mmsr.study.views.live_table import name_by_number
from mmsr.study.workers.failures import kind_of
from mmsr.study.workers.messages import Ending, Proposal, Report
from mmsr.tracking import DataUsed, RunState, Tracker
from mmsr.tracking.base import ERROR_TAG, FAILURE_TAG, TRACEBACK_TAG
from mmsr.tracking.shipper import JournalTracker

if TYPE_CHECKING:
    import optuna

FILES = ("best.safetensors", "config.yaml", "state.json")
TRACEBACK = "traceback.txt"
"""Of a trial that failed."""


def journal_of(
    plan: Plan, study: optuna.Study, notice: Callable[[str], None] = lambda _: None
) -> JournalTracker:
    """Open a study's journal, which is shipped to its tracking server."""
    from mmsr.tracking.mlflow import MlflowSink

    sink = MlflowSink(plan.tracking, plan.name, study_uid(study))
    return JournalTracker(plan.folder.path, sink, notice)


class TrackedStudy:
    """Observer that notes a study's trials with a tracker.

    Parameters
    ----------
    plan : the study.
    uid : its id in the storage.
    tracker : where to note.
    best, done : best value and number of finished trials so far, of an earlier driver.
    """

    def __init__(
        self, plan: Plan, uid: str, tracker: Tracker, *, best: float | None, done: int
    ) -> None:
        self._plan, self._tracker = plan, tracker
        self._best, self._done = best, done
        definition = plan.definition
        self._tags = {
            "mmsr.study": plan.name,
            "mmsr.dataset": definition.dataset,
            "mmsr.dataset_hash": definition.dataset_hash,
            "mmsr.protocol": definition.protocol,
            "mmsr.objective": ", ".join(definition.objectives),
            **code_tags(),
        }
        self._data = DataUsed(
            name=definition.dataset,
            digest=definition.dataset_hash,
            source=str(plan.dataset.path),
            profile=plan.dataset.manifest.counts.model_dump(),
        )
        self._open(uid)

    def _open(self, uid: str) -> None:
        plan, definition = self._plan, self._plan.definition
        self._tracker.open_run(
            STUDY,
            f"study {plan.name}",
            params={
                "dataset": definition.dataset,
                "objective": ", ".join(definition.objectives),
                "pruner": definition.pruner,
                **{f"space.{key}": value for key, value in definition.space.items()},
            },
            tags={
                **self._tags,
                "mmsr.kind": "study",
                "mmsr.study_uid": uid,
                "mmsr.sampler": str(plan.sampler),
            },
            data=self._data,
        )

    def started(self, proposal: Proposal, runner_id: str) -> None:
        """A trial was handed to the runner."""
        self._tracker.open_run(
            proposal.key,
            f"trial {proposal.number}",
            parent=STUDY,
            params=proposal.config.flat(),
            tags={
                **self._tags,
                "mmsr.kind": "trial",
                "mmsr.optuna_number": str(proposal.number),
                "mmsr.ray_trial_id": runner_id,
                "mmsr.origin": proposal.origin,
            },
            data=self._data,
        )

    def reported(self, proposal: Proposal, report: Report) -> None:
        """A trial has finished an epoch."""
        best = {f"best/{name}": value for name, value in report.best_metrics.items()}
        chosen = {f"best/{name}" for name in self._plan.against}
        kept = {k: value for k, value in best.items() if "/valid/" in k or k in chosen}
        self._tracker.log(proposal.key, report.epoch, {**report.metrics, **kept})

    def recovered(self, proposal: Proposal, reason: str) -> None:
        """A trial's worker died, and the trial goes on."""
        self._tracker.tag(proposal.key, {"mmsr.recovered": reason})

    def ended(self, proposal: Proposal, ending: Ending) -> None:
        """A trial is over."""
        tags: dict[str, str] = {}
        if ending.error:
            tags |= {
                ERROR_TAG: ending.error,
                FAILURE_TAG: kind_of(ending.error),
                TRACEBACK_TAG: ending.traceback or "",
            }
            self._upload_traceback(proposal, ending)
        if ending.report is not None:
            tags["mmsr.best_epoch"] = str(ending.report.best_epoch)
        if ending.state in (RunState.FINISHED, RunState.PRUNED):
            self._upload(proposal, proposal.key)
        self._tracker.close_run(proposal.key, ending.state, tags)
        if ending.state is not RunState.INTERRUPTED:
            self._note_progress(ending)

    def run_id(self, key: str) -> str | None:
        """The server's id of a trial's run by the trial's key, once it is known."""
        return self._tracker.run_id(key)

    def close(self, state: RunState, error: str | None, tags: Mapping[str, str]) -> None:
        """The driver ends."""
        self._tracker.close_run(STUDY, state, {**({ERROR_TAG: error} if error else {}), **tags})

    def _upload(self, proposal: Proposal, key: str) -> None:
        folder = trial_folder(self._plan.folder.ray, proposal.number)
        there: list[AnyPath] = list(folder.glob("checkpoint_*"))
        newest = max(there, key=lambda path: path.name, default=proposal.checkpoint)
        if isinstance(newest, RemotePath):  # the tracker ships files of this machine, later
            newest = newest.download(self._plan.folder.path / "models" / proposal.key, FILES)
        if newest is not None:
            names = [name for name in FILES if (newest / name).is_file()]
            self._tracker.upload(key, newest, names)

    def _upload_traceback(self, proposal: Proposal, ending: Ending) -> None:
        """The whole of it: a tag holds so many characters only."""
        folder = self._plan.folder.path / "failures" / proposal.key
        with suppress(OSError):  # the tags say it too
            folder.mkdir(parents=True, exist_ok=True)
            (folder / TRACEBACK).write_text(f"{ending.traceback or ''}\n{ending.error}\n")
            self._tracker.upload(proposal.key, folder, [TRACEBACK])

    def _note_progress(self, ending: Ending) -> None:
        self._done += 1
        objective = self._plan.objective
        if ending.state is RunState.FINISHED and ending.report is not None:
            value = ending.report.best_metrics[objective]
            self._best = value if self._best is None else max(self._best, value)
        metrics = {"trials": float(self._done)}
        if self._best is not None:
            metrics[f"best/{objective}"] = self._best
        self._tracker.log(STUDY, self._done, metrics)


@dataclass(frozen=True)
class Telling:
    """How a run speaks of its trials."""

    end: Callable[[Plan, Sequence[TrialRow], Console], None] = show_end
    """Called at the end with the study's trials."""
    name_of: Callable[[Proposal], str] = name_by_number
    """What a trial is called while it runs."""
    shown: str | None = None
    """Metric shown while trials run, none of which is the best; None stands for the objective."""
    journal: Callable[[Plan, optuna.Study, Callable[[str], None]], JournalTracker] = journal_of
    """Opens the journal that notes go to."""
    track: type[TrackedStudy] = TrackedStudy
    """What takes the notes."""

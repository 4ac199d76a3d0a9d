"""What a run reports of its trials, to the tracking server and on the terminal.

On the tracking server a study is one parent run, and each of its trials a nested run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mmsr import paths
from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.provenance import code_tags
from mmsr.remote import AnyPath, RemotePath
from mmsr.study.planning.plan import Plan
from mmsr.study.results.pareto import FRONT, front_table
from mmsr.study.storage.database import study_uid
from mmsr.study.storage.definition import NOT_RECORDED, Definition
from mmsr.study.storage.known_study import STUDY
from mmsr.study.storage.lineage import trial_folder
from mmsr.study.storage.progress import Progress
from mmsr.study.storage.trials import TrialRow, finished
from mmsr.study.views.descriptions import ending_text, study_text, trial_text
from mmsr.study.views.ending import show_end
from mmsr.study.views.live_table import name_by_number
from mmsr.study.views.run_names import numbered, params_of, run_name
from mmsr.study.workers.failures import kind_of
from mmsr.study.workers.messages import Ending, Observer, Proposal, Report
from mmsr.tracking import DataUsed, RunState, Tracker
from mmsr.tracking.base import ERROR_TAG, EXPERIMENT, FAILURE_TAG, NOTE_TAG, TRACEBACK_TAG

if TYPE_CHECKING:
    import optuna

MODEL_FILES = ("best.safetensors", "config.yaml", "state.json")
"""Files of a checkpoint that are uploaded to the tracking server with a finished trial."""
TRACEBACK = "traceback.txt"
"""Name of the file that is uploaded with a failed trial."""
FIRST_CHART = "Objective"
"""First part of the names of a trial's curves that MLflow shows first: it sorts sections of charts
by name, capitals before small letters."""


class TrackingReporter(Observer, Protocol):
    """Observer that reports to a tracking server."""

    def run_id(self, key: str) -> str | None:
        """The server's id of a trial's run, or None while it is unknown.

        Parameters
        ----------
        key : the trial's key.
        """

    def close(self, state: RunState, error: str | None, after: Progress) -> None:
        """Close the study's run, as the driver ends.

        Parameters
        ----------
        state : how the study ended.
        error : what stopped it, if an error did.
        after : how far it is.
        """


class StudyReporter:
    """Reports a study and its trials to the tracking server.

    Parameters
    ----------
    plan : the study.
    study : the Optuna study; the results of earlier drivers are read from it.
    tracker : where to record.
    """

    def __init__(self, plan: Plan, study: optuna.Study, tracker: Tracker) -> None:
        self._plan, self._tracker = plan, tracker
        before = plan.progress(study)
        self._done = before.over
        best = next(iter(finished(before.rows, plan.definition.objectives)), None)
        self._best: dict[str, float] = {}
        if best is not None:
            self._set_best(best.metrics, best.settings)
        self._tags = tags_of(plan.name, plan.definition)
        self._data = data_of(plan)
        self._tracker.open_run(
            STUDY,
            f"study {plan.name}",
            params={
                "dataset": plan.definition.dataset,
                "objective": ", ".join(plan.definition.objectives),
                "pruner": plan.definition.pruner,
                **{f"space.{key}": value for key, value in plan.definition.space.items()},
            },
            tags={
                **self._tags,
                "mmsr.kind": "study",
                "mmsr.study_uid": study_uid(study),
                "mmsr.sampler": str(plan.sampler),
            },
            data=self._data,
        )
        self._describe(before, running=True)

    def _describe(self, progress: Progress, *, running: bool) -> None:
        """Set the description of the study's run and of its experiment."""
        record = self._plan.folder.read_record()
        text = study_text(
            self._plan.name,
            self._plan.definition,
            progress,
            profile=self._data.profile,
            sampler=str(self._plan.sampler),
            command=record.command if record is not None else "",
            running=running,
        )
        for key in (STUDY, EXPERIMENT):
            self._tracker.tag(key, {NOTE_TAG: text})

    def started(self, proposal: Proposal, runner_id: str) -> None:
        """Open the run of a trial that was handed to the runner."""
        config, settings = proposal.config, proposal.settings
        name = run_name(config, settings, model=bool(self._plan.models))
        earlier = {} if proposal.follows is None else {"mmsr.follows": str(proposal.follows)}
        self._tracker.open_run(
            proposal.key,
            numbered(name, proposal.number),
            parent=STUDY,
            params=params_of(config, settings, self._varied(config.model.name)),
            tags={
                **self._tags,
                **earlier,
                "mmsr.kind": "trial",
                "mmsr.optuna_number": str(proposal.number),
                "mmsr.ray_trial_id": runner_id,
                "mmsr.origin": proposal.origin,
                "mmsr.model": config.model.name,
                NOTE_TAG: self._text(proposal),
            },
            data=self._data,
        )

    def _varied(self, model: str) -> Container[str]:
        """Keys of the space of a trial's model."""
        spaces = {one.model: one.space for one in self._plan.contenders}
        return spaces[model if self._plan.models else None]

    def _text(self, proposal: Proposal, result: str = "") -> str:
        return trial_text(self._plan.name, proposal, self._plan.definition.dataset, result)

    def reported(self, proposal: Proposal, report: Report) -> None:
        """Log the metrics of an epoch."""
        best = {f"best/{name}": value for name, value in report.best_metrics.items()}
        chosen = {f"best/{name}" for name in self._plan.against}
        kept = {k: value for k, value in best.items() if "/valid/" in k or k in chosen}
        first = {
            f"{FIRST_CHART}/{name}": report.metrics[name]
            for name in self._plan.definition.objectives
            if name in report.metrics
        }
        self._tracker.log(proposal.key, report.epoch, {**first, **report.metrics, **kept})

    def recovered(self, proposal: Proposal, reason: str) -> None:
        """Tag a trial's run with the reason why its worker died; the trial resumes on another."""
        self._tracker.tag(proposal.key, {"mmsr.recovered": reason})

    def ended(self, proposal: Proposal, ending: Ending) -> None:
        """Close a trial's run, with its error or its model."""
        tags, objectives = dict[str, str](), self._plan.definition.objectives
        if ending.error:
            tags |= {
                ERROR_TAG: ending.error,
                FAILURE_TAG: kind_of(ending.error),
                TRACEBACK_TAG: ending.traceback or "",
            }
            self._upload_traceback(proposal, ending)
        if ending.report is not None:
            tags["mmsr.best_epoch"] = str(ending.report.best_epoch)
            tags[NOTE_TAG] = self._text(proposal, ending_text(ending, objectives))
        if ending.state in (RunState.FINISHED, RunState.PRUNED):
            upload_model(self._tracker, self._plan, proposal, proposal.key)
        self._tracker.close_run(proposal.key, ending.state, tags)
        if ending.state is not RunState.INTERRUPTED:
            self._report_progress(proposal, ending)

    def run_id(self, key: str) -> str | None:
        """The server's id of the run with this key, or None while it is unknown."""
        return self._tracker.run_id(key)

    def close(self, state: RunState, error: str | None, after: Progress) -> None:
        """Close the study's run, as the driver ends."""
        tags = {ERROR_TAG: error} if error else {}
        front = front_table(after.rows, self._plan.definition.objectives)
        if front is not None:
            with suppress(UserError):  # a full disk ends no study
                self._plan.folder.write(FRONT, front)
                self._tracker.upload(STUDY, self._plan.folder.path, [FRONT])
            tags["mmsr.pareto_size"] = str(front.count("\n"))
        best = next(iter(finished(after.rows, self._plan.definition.objectives)), None)
        if best is not None:
            tags["mmsr.best_trial"] = str(best.number)
            tags |= {f"mmsr.best.{key}": str(value) for key, value in best.settings.items()}
        self._describe(after, running=False)
        self._tracker.close_run(STUDY, state, tags)

    def _upload_traceback(self, proposal: Proposal, ending: Ending) -> None:
        """Upload the whole traceback as a file: a tag holds only a limited number of characters."""
        folder = self._plan.folder.path / "failures" / proposal.key
        with suppress(OSError):  # the tags hold the error, too
            folder.mkdir(parents=True, exist_ok=True)
            (folder / TRACEBACK).write_text(f"{ending.traceback or ''}\n{ending.error}\n")
            self._tracker.upload(proposal.key, folder, [TRACEBACK])

    def _report_progress(self, proposal: Proposal, ending: Ending) -> None:
        self._done += 1
        if ending.state is RunState.FINISHED and ending.report is not None:
            metrics, objective = ending.report.best_metrics, self._plan.objective
            if metrics[objective] > self._best.get(f"best/{objective}", -math.inf):
                self._set_best(metrics, proposal.settings)
        self._tracker.log(STUDY, self._done, {"trials": float(self._done), **self._best})

    def _set_best(self, metrics: Mapping[str, float], settings: Mapping[str, Any]) -> None:
        """Note the best trial: all its objectives, and those of its settings that are numbers."""
        objectives = self._plan.definition.objectives
        self._best = {f"best/{name}": metrics[name] for name in objectives if name in metrics} | {
            f"best_config/{key}": float(value)
            for key, value in settings.items()
            if isinstance(value, int | float)
        }


@dataclass(frozen=True)
class Reporting:
    """How a run presents its trials; the defaults are those of a study."""

    show_end: Callable[[Plan, Sequence[TrialRow], Console], None] = show_end
    """Called at the end with the study's trials."""
    name_of: Callable[[Proposal], str] = name_by_number
    """Returns what a trial is called while it runs."""
    metric: str | None = None
    """Metric to show while trials run, without marking a best one; None shows the objective, and
    which trial is the best so far."""
    reporter: Callable[[Plan, optuna.Study, Tracker], TrackingReporter] = StudyReporter
    """Makes the observer that reports to the tracking server."""
    ended: Callable[[optuna.Study], None] = lambda _: None
    """Called with the study whenever a trial has ended and its ending is recorded."""


def tags_of(name: str, definition: Definition) -> dict[str, str]:
    """Tags that all runs of a study have.

    Parameters
    ----------
    name, definition : name and definition of the study.
    """
    return {
        "mmsr.study": name,
        "mmsr.dataset": definition.dataset,
        "mmsr.dataset_hash": definition.dataset_hash,
        "mmsr.protocol": definition.protocol,
        "mmsr.objective": ", ".join(definition.objectives),
        "mmsr.trainer": definition.trainer or NOT_RECORDED,
        **code_tags(),
    }


def data_of(plan: Plan) -> DataUsed:
    """The data set of `plan`, as the tracking server records it."""
    return DataUsed(
        name=plan.definition.dataset,
        digest=plan.definition.dataset_hash,
        source=paths.recorded(plan.dataset.path),
        profile=plan.dataset.manifest.counts.model_dump(),
    )


def upload_model(tracker: Tracker, plan: Plan, proposal: Proposal, key: str) -> None:
    """Upload the best model of a trial's newest checkpoint, if there is a checkpoint.

    Parameters
    ----------
    tracker : where it is uploaded.
    plan, proposal : the study, and its trial.
    key : key of the run that gets the files.
    """
    folder = trial_folder(plan.folder.ray, proposal.number)
    there: list[AnyPath] = list(folder.glob("checkpoint_*"))
    newest = max(there, key=lambda path: path.name, default=proposal.checkpoint)
    if isinstance(newest, RemotePath):  # the tracker ships files of this machine, later
        newest = newest.download(plan.folder.path / "models" / proposal.key, MODEL_FILES)
    if newest is not None:
        names = [name for name in MODEL_FILES if (newest / name).is_file()]
        tracker.upload(key, newest, names)

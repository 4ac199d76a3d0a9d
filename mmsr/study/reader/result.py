"""`StudyResult`: what a run of a study from Python returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from mmsr.config import Config
from mmsr.study.planning.plan import Plan
from mmsr.study.reader.best import BestTrial, best_of
from mmsr.study.reader.facts import as_html, as_text
from mmsr.study.reader.opened import OpenedStudy
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.progress import ending_of
from mmsr.study.storage.trials import rows
from mmsr.study.views.ending import FailureGroup, grouped
from mmsr.study.views.tables import settings_text, summary

if TYPE_CHECKING:
    import pandas as pd


class Ended(StrEnum):
    """How a run of a study ended."""

    FINISHED = "finished"
    """Nothing is left to run."""
    BUDGET = "budget used up"
    """The same run with a higher budget resumes the study."""
    INTERRUPTED = "interrupted"
    """By Ctrl-C, the notebook's stop button or SIGTERM; the same run resumes the study."""
    FAILED = "failed"
    """An error stopped it, or no trial has finished; the same run resumes the study."""


@dataclass(frozen=True, repr=False)
class StudyResult:
    """What a run of a study gave, as it was when the run ended.

    Trials of earlier runs of the same study are included.
    """

    study: OpenedStudy
    """The study, to read more of it: `result.study.leaderboard()`, `.curves()`, `.export(…)`."""
    ended: Ended
    """How the run ended."""
    error: str | None
    """What stopped it, if an error did."""
    rows: pd.DataFrame = field(compare=False)
    """One row per trial, as `mmsr.study.reader.opened.OpenedStudy.trials` has it."""
    best: BestTrial | None
    """The best finished trial by the first objective; None if none has finished."""
    failures: tuple[FailureGroup, ...]
    """The trials that failed, grouped by error."""
    summary: str
    """How many trials ended how, in words."""

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.name

    @property
    def best_config(self) -> Config | None:
        """Config of the best finished trial; None if none has finished."""
        return self.best.config if self.best is not None else None

    @property
    def best_score(self) -> float | None:
        """First objective of the best finished trial, in [0, 1]; None if none has finished."""
        return self.best.score if self.best is not None else None

    @property
    def folder(self) -> Path:
        """Folder of the study's checkpoints and records."""
        return self.study.folder

    @property
    def storage(self) -> str:
        """URL of the study's state, for `optuna.load_study`; a password is hidden."""
        return self.study.storage

    @property
    def tracking(self) -> str:
        """URI of the study's runs, for `mlflow.set_tracking_uri`; a password is hidden."""
        return self.study.tracking

    def __repr__(self) -> str:
        return as_text(self._facts())

    def _repr_html_(self) -> str:
        return as_html(self._facts())

    def _facts(self) -> dict[str, str]:
        facts = {"": f"study {self.name}: {self.ended}", "trials": self.summary}
        if self.error is not None:
            facts["stopped by"] = self.error
        if self.best is not None:
            at = f"trial {self.best.trial}, epoch {self.best.best_epoch}"
            facts["best"] = f"{self.study.objectives[0]} {self.best.score:.4f} ({at})"
            facts["settings"] = settings_text(dict(self.best.settings))
        for place, group in enumerate(self.failures, start=1):
            facts["failures" if place == 1 else f"failures, {place}"] = str(group)
        return {
            **facts,
            "folder": str(self.folder),
            "storage": self.storage,
            "tracking": self.tracking,
        }


def result_of(plan: Plan, *, interrupted: bool, failed: bool) -> StudyResult:
    """The result of a plan that has been run.

    Parameters
    ----------
    plan : the study.
    interrupted, failed : how its driver ended.
    """
    known = look_up(plan.name, plan.storage, plan.tracking)
    study = OpenedStudy(known)
    trials = rows(known.study)
    ended, error = Ended.FINISHED, None
    if interrupted:
        ended = Ended.INTERRUPTED
    elif failed:
        ended = Ended.FAILED
        error = ending_of(known.study)[1] or "no trial has finished"
    elif known.overview.extent.used_up is not None and not known.overview.extent.is_complete:
        ended = Ended.BUDGET
    return StudyResult(
        study=study,
        ended=ended,
        error=error,
        rows=study.trials(),
        best=None if known.definition.test_selected else best_of(known),
        failures=tuple(grouped(trials)),
        summary=summary(trials, running=False),
    )

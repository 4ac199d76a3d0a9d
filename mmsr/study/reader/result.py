"""`StudyResult`: what a run of a study from Python returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsr.config import Config
from mmsr.study.planning.plan import Plan
from mmsr.study.reader.best import BestTrial, best_of
from mmsr.study.reader.facts import as_html, as_text
from mmsr.study.reader.opened import OpenedStudy
from mmsr.study.results.outcome import Ended, Outcome
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows
from mmsr.study.views.ending import FailureGroup, grouped
from mmsr.study.views.tables import settings_text, summary

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False, eq=False)
class StudyResult:
    """What a run of a study gave, as it was when the run ended.

    Trials of earlier runs of the same study are included.
    """

    study: OpenedStudy
    """The study, to read more of it: `result.study.leaderboard()`, `.curves()`, `.export(…)`."""
    ended: Ended
    """How the run ended."""
    error: str | None
    """Why it failed; None if it did not."""
    rows: pd.DataFrame
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


def result_of(plan: Plan, outcome: Outcome) -> StudyResult:
    """The result of a plan that has been run.

    Parameters
    ----------
    plan : the study.
    outcome : how its driver ended.
    """
    known = look_up(plan.name, plan.storage, plan.tracking)
    study = OpenedStudy(known)
    trials = rows(known.study)
    return StudyResult(
        study=study,
        ended=outcome.ended,
        error=outcome.error,
        rows=study.trials(),
        best=None if known.definition.test_selected else best_of(known),
        failures=tuple(grouped(trials)),
        summary=summary(trials, running=False),
    )

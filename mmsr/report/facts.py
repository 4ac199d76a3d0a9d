"""Everything that a report says of a study, gathered once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from mmsr import paths
from mmsr.errors import UserError
from mmsr.evaluation.knockouts import Knockouts
from mmsr.report.intervals import Measured, valid_ranks
from mmsr.robustness.results import Results
from mmsr.study.results.finalized import FinalRecord, final_record
from mmsr.study.results.held_out import Opening, all_openings, read_record
from mmsr.study.results.knockouts import TrialKnockouts, read_knockouts
from mmsr.study.results.pareto import pareto_front
from mmsr.study.results.references import (
    WHEN_ASKED,
    ReferenceLine,
    cached_lines,
    measured_lines,
)
from mmsr.study.storage.attributes import is_invalid
from mmsr.study.storage.budget import spent_hours
from mmsr.study.storage.folder import StudyRecord
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.lineage import current, curve_of
from mmsr.study.storage.outside import trials_of
from mmsr.study.storage.progress import Progress, ending_of, progress_of
from mmsr.study.storage.trials import TrialRow, finished, ranked
from mmsr.tracking.base import RunState

MOST_ROWS = 20
"""Rows of a table that grows with the trials."""
INTERVALS = 5
"""Trials whose validation scores get an interval, unless a user asks for others."""


@dataclass(frozen=True)
class Worth:
    """What the modalities of a trial's model are worth."""

    knockouts: Knockouts
    trial: int
    whence: str
    """What measured it."""


@dataclass(frozen=True)
class Facts:
    """A study as it is at one moment."""

    known: KnownStudy
    progress: Progress
    running: bool
    record: StudyRecord | None
    curves: Mapping[int, Mapping[int, float]]
    """First objective by epoch, by number of the trial."""
    finished: tuple[FrozenTrial, ...]
    """The finished trials as Optuna has them."""
    measured: Measured
    """Validation ranks of the best trials."""
    lines: tuple[ReferenceLine, ...]
    knockouts: TrialKnockouts | None
    robustness: tuple[Results, ...]
    final: FinalRecord
    opened: tuple[Opening, ...]
    """Every opening of test, by time: for `mmsr study finalize` and for `mmsr reproduce`."""
    final_error: str
    """Why the record of test cannot be read; empty where it can."""
    spent: Mapping[str, float]
    """Hours by kind, over all runs of the study."""

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.known.name

    @property
    def objective(self) -> str:
        """The first objective."""
        return self.known.definition.objective

    @property
    def metric(self) -> str:
        """The first objective without its part, e.g. `mrr@20`."""
        return self.objective.partition("/")[2]

    @property
    def rows(self) -> tuple[TrialRow, ...]:
        """All trials, oldest first."""
        return self.progress.rows

    @cached_property
    def ranked(self) -> list[TrialRow]:
        """Finished trials, best first, then those stopped early."""
        return ranked(self.rows, self.known.definition.objectives)

    @property
    def all_scores(self) -> str:
        """The command that lists all trials with a score, with their metrics and settings."""
        return f"`mmsr study leaderboard {self.name} --top {len(self.ranked)} --csv`"

    @property
    def all_states(self) -> str:
        """The command that lists all trials with their states, values and errors."""
        return f"`mmsr study status {self.name} --last {len(self.rows)} --csv`"

    @property
    def best(self) -> TrialRow | None:
        """The best finished trial."""
        first = self.ranked[:1]
        return first[0] if first and first[0].state == "finished" else None

    @cached_property
    def front(self) -> list[TrialRow]:
        """The Pareto front; empty for a single objective."""
        objectives = self.known.definition.objectives
        return pareto_front(self.rows, objectives) if len(objectives) > 1 else []

    @property
    def state(self) -> str:
        """Whether the study is running, finished, interrupted, failed (and why), or not begun."""
        if self.running:
            return "running"
        ended, error = ending_of(self.known.study)
        begun = any(row.state != "waiting" for row in self.rows)
        if not begun and ended is RunState.INTERRUPTED:
            return "not begun"
        return f"{ended.value.lower()} ({error})" if error else ended.value.lower()

    @cached_property
    def worth(self) -> Worth | None:
        """The knock-outs to show: the best trial's if there are any, else another trial's."""
        wide = [
            Worth(one.knockouts, one.trial, f"`mmsr robustness {self.name}`")
            for one in self.robustness
            if one.part == "valid" and one.knockouts is not None and one.trial is not None
        ]
        if (own := self.knockouts) is not None:
            wide.append(Worth(own.knockouts, own.trial, "the end of the study's run"))
        best = None if self.best is None else self.best.number
        return min(wide, key=lambda one: one.trial != best, default=None)

    @property
    def reads_modalities(self) -> bool:
        """Whether the best trial's model reads modalities; True while there is none."""
        config = self.best.config if self.best is not None else None
        return config is None or config.model.modalities_as is not None

    def interval(self, number: int) -> tuple[float, float] | None:
        """The 95 % interval of a trial's first objective; None where it was not measured.

        Parameters
        ----------
        number : number of the trial.
        """
        found = self.measured.ranks.get(number)
        return None if found is None else found.interval(self.metric)


def gather(
    known: KnownStudy,
    *,
    intervals: int = INTERVALS,
    device: str = "auto",
    notice: Callable[[str], None] = lambda message: None,
) -> Facts:
    """The facts about a study.

    While a study runs, it has the machine to itself: then only what is cached is shown of what has
    to be measured.

    Parameters
    ----------
    known : the study.
    intervals : of how many of the best trials to measure the interval of the score; where there
        are several models, the best of each is among them.
    device : device of the models that are measured.
    notice : called with messages for the user.
    """
    progress = progress_of(known.study)
    # A study that is finalized is locked as one that is run.
    running = known.folder.is_running() and not progress.is_over
    trials = [trial for trial in current(trials_of(known.study)) if not is_invalid(trial)]
    best = finished(progress.rows, known.definition.objectives)
    final, opened, error = _final(known)
    return Facts(
        known=known,
        progress=progress,
        running=running,
        record=known.folder.read_record(),
        curves={trial.number: dict(sorted(curve_of(trial).items())) for trial in trials},
        finished=tuple(t for t in trials if t.state == TrialState.COMPLETE),
        measured=valid_ranks(
            known, _leading(best, intervals), measure=not running, device=device, progress=notice
        ),
        lines=tuple(_lines(known, best, running, notice)),
        knockouts=read_knockouts(known),
        robustness=tuple(_robustness(known.folder.path / "robustness")),
        final=final,
        opened=opened,
        final_error=error,
        spent=spent_hours(known.study),
    )


def _leading(best: list[TrialRow], n: int) -> list[TrialRow]:
    """The n best trials, and the best one of each model, in a study of several."""
    first = {row.model: row for row in reversed(best)}
    return [row for i, row in enumerate(best) if i < n or (n and row is first[row.model])]


def _lines(
    known: KnownStudy, best: list[TrialRow], running: bool, notice: Callable[[str], None]
) -> list[ReferenceLine]:
    if not best or (config := best[0].config) is None:
        return []
    if running or paths.remote() is not None:
        return cached_lines(known, config)
    return measured_lines(known, config, WHEN_ASKED, notice)


def _final(known: KnownStudy) -> tuple[FinalRecord, tuple[Opening, ...], str]:
    try:
        record = final_record(known)
        own = all_openings(read_record(known.folder).opened, known.study)
    except UserError as error:
        return FinalRecord(), (), str(error)
    return record, tuple(sorted((*record.opened, *own), key=lambda one: one.at)), ""


def _robustness(folder: Path) -> list[Results]:
    """What `mmsr robustness` and `mmsr study finalize --robustness` have written."""
    found = []
    for path in sorted(folder.glob("**/robustness-*.json")):
        try:
            found.append(Results.model_validate_json(path.read_text()))
        except (OSError, ValidationError):
            continue  # of an older version, or cut off: the command that measures it writes it anew
    return sorted(found, key=lambda one: one.part, reverse=True)

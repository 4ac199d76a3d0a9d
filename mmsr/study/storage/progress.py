"""How far a study is: which of its trials are over, and how many it is to have.

A trial is over when it has finished, was stopped early, or failed. One that was interrupted is not:
a successor resumes it. Nor is one whose failure was withdrawn, so that it is tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from mmsr.study.storage.attributes import ORIGIN, is_invalid
from mmsr.study.storage.budget import budget_used_up
from mmsr.study.storage.lineage import current, queue_again
from mmsr.study.storage.trials import TrialRow, best_value, rows

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

Settings = Mapping[str, Any]

_VOID = "void"
_TARGET = "trials"
_EXHAUSTED = "exhausted"


@dataclass(frozen=True)
class Progress:
    """How far a study is at one moment."""

    rows: tuple[TrialRow, ...]
    """All its trials, each with its newest attempt, oldest first."""
    over: int
    """Trials that are over, among those that were asked about."""
    wanted: int
    exhausted: bool
    """Whether every setting of its space has been run."""
    used_up: str | None
    """Which budget is used up, in words."""

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to run."""
        return self.over >= self.wanted or self.exhausted

    @property
    def is_over(self) -> bool:
        """Whether the study has ended: it is complete, or its budget is used up."""
        return self.is_complete or self.used_up is not None

    @property
    def best(self) -> float | None:
        """The first objective of the best finished trial, if there is one."""
        return best_value(self.rows)

    def has(self, state: str) -> bool:
        """Whether a trial is in this state, e.g. `finished` or `failed`."""
        return any(row.state == state for row in self.rows)


def progress_of(
    study: optuna.Study, only: Sequence[Settings] | None = None, wanted: int | None = None
) -> Progress:
    """Take stock of a study.

    Parameters
    ----------
    study : the Optuna study.
    only : count trials of these settings alone, as Optuna keeps them; None counts all.
    wanted : how many are to be over in the end; None stands for what was asked for last.
    """
    return Progress(
        rows=tuple(rows(study)),
        over=n_over(study, only),
        wanted=(study.user_attrs.get(_TARGET) or 0) if wanted is None else wanted,
        exhausted=bool(study.user_attrs.get(_EXHAUSTED, False)),
        used_up=budget_used_up(study),
    )


def is_over(study: optuna.Study) -> bool:
    """Whether a study has ended: no trial is left to run, or its budget is used up."""
    return progress_of(study).is_over


def set_target(study: optuna.Study, trials: int) -> None:
    """Record how many trials are asked for."""
    study.set_user_attr(_TARGET, trials)


def set_exhausted(study: optuna.Study, trials: int) -> None:
    """Record that the space has no more than these trials."""
    study.set_user_attr(_EXHAUSTED, True)
    set_target(study, trials)


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that are over and count towards the number asked for."""
    back = taken_back(study)
    return [
        trial
        for trial in current(study.get_trials(deepcopy=False))
        if trial.state.is_finished() and not is_invalid(trial) and trial.number not in back
    ]


def take_back(study: optuna.Study, numbers: Iterable[int]) -> None:
    """Withdraw that trials are over: they do not count, and the next driver tries them again."""
    if new := set(numbers) - taken_back(study):
        study.set_user_attr(_VOID, sorted(taken_back(study) | new))


def failed(study: optuna.Study, only: Sequence[Settings]) -> list[int]:
    """Numbers of the trials of those settings that failed."""
    return [
        trial.number
        for trial in counted(study)
        if trial.state == TrialState.FAIL and trial.params in only
    ]


def taken_back(study: optuna.Study) -> set[int]:
    """Numbers of the trials that were withdrawn by `take_back`."""
    return set(study.user_attrs.get(_VOID, ()))


def n_over(study: optuna.Study, only: Sequence[Settings] | None) -> int:
    """How many trials are over: of those settings alone, or of all where `only` is None."""
    over = counted(study)
    if only is None:
        return len(over)
    done = [trial.params for trial in over]
    return sum(settings in done for settings in only)


def add_missing(study: optuna.Study, only: Sequence[Settings]) -> int:
    """Enqueue those settings that the study lacks; returns the number of its trials then.

    Settings that were withdrawn when an earlier call did not ask for them go on where they were.
    """
    trials = current(study.get_trials(deepcopy=False))
    have = [(trial.params or trial.system_attrs.get("fixed_params", {}), trial) for trial in trials]
    for settings in only:
        there = [trial for params, trial in have if params == settings]
        if not there:
            study.enqueue_trial(dict(settings), user_attrs={ORIGIN: "known"})
        elif all(map(is_invalid, there)):
            queue_again(study, there[-1])
    return sum(not is_invalid(trial) for trial in current(study.get_trials(deepcopy=False)))

"""How far a study is: how many of its trials are done, and how many it is to run.

A trial is done when it has finished, was stopped early, or failed. An interrupted trial is not
done: a successor resumes it. Neither is a failed one whose failure was withdrawn so that it is
retried.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from mmsr.study.storage.attributes import ORIGIN, is_invalid
from mmsr.study.storage.budget import budget_used_up
from mmsr.study.storage.lineage import T, current, queue_again
from mmsr.study.storage.outside import model_of, trials_of
from mmsr.study.storage.trials import TrialRow, best_value, rows
from mmsr.tracking import RunState

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

Settings = Mapping[str, Any]

_VOID = "void"
_TARGET = "trials"
_EXHAUSTED = "exhausted"
_EXHAUSTED_MODELS = "exhausted_models"
_ENDING = "ending"


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How far a study is at one moment, in numbers."""

    over: int
    """Number of trials that are done, among those that `progress_of` was asked to count."""
    wanted: int
    """Number of trials that the study is to run in all."""
    exhausted: bool
    """Whether every setting of its space has been run."""
    used_up: str | None
    """Which budget is used up, in words; None while none is."""

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to run."""
        return self.over >= self.wanted or self.exhausted

    @property
    def is_over(self) -> bool:
        """Whether the study has ended: it is complete, or its budget is used up."""
        return self.is_complete or self.used_up is not None


@dataclass(frozen=True, kw_only=True)
class Progress(Extent):
    """How far a study is at one moment, with its trials."""

    rows: tuple[TrialRow, ...]
    """All its trials, each as its newest attempt, oldest first."""

    @property
    def best(self) -> float | None:
        """The first objective of the best finished trial, if there is one."""
        return best_value(self.rows)

    def has(self, state: str) -> bool:
        """Whether any trial is in the given state, e.g. `finished` or `failed`."""
        return any(row.state == state for row in self.rows)


def progress_of(
    study: optuna.Study,
    only: Sequence[Settings] | None = None,
    wanted: int | None = None,
    models: Collection[str] | None = None,
    quota: int | None = None,
) -> Progress:
    """Count the trials of a study.

    Parameters
    ----------
    study : the Optuna study.
    only : count only trials with these settings, as Optuna stores them; None counts all.
    wanted : number of trials to run in all; None takes the number that was asked for last.
    models : count only trials of these models; None counts all.
    quota : count at most so many trials of each of these models.
    """
    over = n_over(study, only, models)
    attributes = dict(study.user_attrs)
    if models is not None and only is None:
        most = math.inf if quota is None else quota
        of_each = {name: n_over(study, None, [name]) for name in models}
        over = sum(int(min(n, most)) for n in of_each.values())
        ended = exhausted_models(study)
        lacking = [name for name, n in of_each.items() if n < most]
        attributes[_EXHAUSTED] = bool(lacking) and all(name in ended for name in lacking)
    return Progress(rows=tuple(rows(study)), **vars(extent_of(attributes, over, wanted)))


def extent_of(attributes: Mapping[str, Any], over: int, wanted: int | None = None) -> Extent:
    """How far a study is, by its attributes.

    Parameters
    ----------
    attributes : the study's.
    over : number of its trials that are done.
    wanted : number of trials to run in all; None takes the number that was asked for last.
    """
    return Extent(
        over=over,
        wanted=(attributes.get(_TARGET) or 0) if wanted is None else wanted,
        exhausted=bool(attributes.get(_EXHAUSTED, False)),
        used_up=budget_used_up(attributes),
    )


def is_over(study: optuna.Study) -> bool:
    """Whether `study` has ended: no trial is left to run, or its budget is used up."""
    return extent_of(study.user_attrs, n_over(study, None)).is_over


def set_ending(study: optuna.Study, state: RunState, error: str | None) -> None:
    """Record how a driver left a study.

    Parameters
    ----------
    study : the Optuna study.
    state : how the driver ended.
    error : what stopped it, if an error did.
    """
    study.set_user_attr(_ENDING, {"state": state.value, "error": error})


def ending_of(study: optuna.Study) -> tuple[RunState, str | None]:
    """The state of a study that nobody runs, and the error that stopped it, if one did.

    Studies of older versions have no record of it: those with trials left to run were interrupted.
    """
    if is_over(study):
        return RunState.FINISHED, None
    ending = study.user_attrs.get(_ENDING, {})
    failed = ending.get("state") == RunState.FAILED.value
    return (RunState.FAILED, ending.get("error")) if failed else (RunState.INTERRUPTED, None)


def set_target(study: optuna.Study, trials: int) -> None:
    """Record how many trials the study is to run.

    Parameters
    ----------
    study : the Optuna study.
    trials : the number of trials.
    """
    study.set_user_attr(_TARGET, trials)


def set_exhausted(study: optuna.Study, trials: int) -> None:
    """Record that the whole space has been run.

    Parameters
    ----------
    study : the Optuna study.
    trials : the number of trials, which becomes the study's target.
    """
    study.set_user_attr(_EXHAUSTED, True)
    set_target(study, trials)


def exhausted_models(study: optuna.Study) -> frozenset[str]:
    """The models of a study of several whose whole space has been run."""
    return frozenset(study.user_attrs.get(_EXHAUSTED_MODELS, ()))


def add_exhausted(study: optuna.Study, models: Collection[str]) -> None:
    """Record that the whole spaces of models have been run.

    The trials that are done become the study's target: another model may come.

    Parameters
    ----------
    study : the Optuna study.
    models : their names.
    """
    study.set_user_attr(_EXHAUSTED_MODELS, sorted({*exhausted_models(study), *models}))
    set_target(study, n_over(study, None))


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of `study` that are done and count towards its number of trials."""
    return counted_among(trials_of(study), study.user_attrs)


def counted_among(trials: Sequence[T], attributes: Mapping[str, Any]) -> list[T]:
    """Those of a study's trials that are done and count.

    Parameters
    ----------
    trials : all trials of the study that mmsr has not passed over.
    attributes : the study's.
    """
    back = set(attributes.get(_VOID, ()))
    return [
        trial
        for trial in current(trials)
        if trial.state.is_finished() and not is_invalid(trial) and trial.number not in back
    ]


def take_back(study: optuna.Study, numbers: Iterable[int]) -> None:
    """Withdraw the endings of trials: they do not count, and the next driver runs them again.

    Parameters
    ----------
    study : the Optuna study.
    numbers : numbers of the trials.
    """
    if new := set(numbers) - taken_back(study):
        study.set_user_attr(_VOID, sorted(taken_back(study) | new))


def failed(study: optuna.Study, only: Sequence[Settings]) -> list[int]:
    """Numbers of the failed trials with the given settings.

    Parameters
    ----------
    study : the Optuna study.
    only : the settings, as Optuna stores them.
    """
    return [
        trial.number
        for trial in counted(study)
        if trial.state == TrialState.FAIL and trial.params in only
    ]


def taken_back(study: optuna.Study) -> set[int]:
    """Numbers of the trials of `study` that `take_back` withdrew."""
    return set(study.user_attrs.get(_VOID, ()))


def n_over(
    study: optuna.Study,
    only: Sequence[Settings] | None,
    models: Container[str | None] | None = None,
) -> int:
    """Number of trials that are done.

    Parameters
    ----------
    study : the Optuna study.
    only : count only trials with these settings, as Optuna stores them; None counts all.
    models : count only trials of these models; None counts all.
    """
    over = [trial for trial in counted(study) if models is None or model_of(trial) in models]
    if only is None:
        return len(over)
    done = [trial.params for trial in over]
    return sum(settings in done for settings in only)


def add_missing(study: optuna.Study, only: Sequence[Settings]) -> int:
    """Enqueue those of the given settings that the study lacks.

    Trials that were refused because an earlier call had not asked for their settings are resumed
    where they were.

    Parameters
    ----------
    study : the Optuna study.
    only : the settings, as Optuna stores them.

    Returns
    -------
    Number of trials that the study then has.
    """
    trials = current(trials_of(study))
    have = [(trial.params or trial.system_attrs.get("fixed_params", {}), trial) for trial in trials]
    for settings in only:
        there = [trial for params, trial in have if params == settings]
        if not there:
            study.enqueue_trial(dict(settings), user_attrs={ORIGIN: "known"})
        elif all(map(is_invalid, there)):
            queue_again(study, there[-1])
    return sum(not is_invalid(trial) for trial in current(trials_of(study)))

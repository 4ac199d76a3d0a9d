"""How far a study is: which of its trials are over, and how many it is to have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from mmsr.study.storage.lineage import current, queue_again

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

Settings = Mapping[str, Any]
_VOID = "void"


_TARGET = "trials"
_EXHAUSTED = "exhausted"


def target(study: optuna.Study) -> int | None:
    """How many trials were asked for last."""
    return study.user_attrs.get(_TARGET)


def set_target(study: optuna.Study, trials: int) -> None:
    """Note how many trials are asked for."""
    study.set_user_attr(_TARGET, trials)


def is_exhausted(study: optuna.Study) -> bool:
    """Whether every setting of the study's space has been run."""
    return bool(study.user_attrs.get(_EXHAUSTED, False))


def set_exhausted(study: optuna.Study, trials: int) -> None:
    """Note that the space has no more than these trials."""
    study.set_user_attr(_EXHAUSTED, True)
    set_target(study, trials)


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that are over and count towards the number asked for."""
    back = taken_back(study)
    return [
        trial
        for trial in current(study.get_trials(deepcopy=False))
        if trial.state.is_finished()
        and "invalid" not in trial.user_attrs
        and trial.number not in back
    ]


def take_back(study: optuna.Study, numbers: Iterable[int]) -> None:
    """Take back that trials are over: they do not count, and the next driver tries them again."""
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
    """Numbers of the trials that were taken back."""
    return set(study.user_attrs.get(_VOID, ()))


def is_over(study: optuna.Study) -> bool:
    """Whether a study is at its end: all trials that were asked for, or its budget."""
    from mmsr.study.storage.budget import budget_used_up
    from mmsr.study.storage.progress import target

    return len(counted(study)) >= (target(study) or 0) or budget_used_up(study) is not None


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
            study.enqueue_trial(dict(settings), user_attrs={"origin": "known"})
        elif all("invalid" in trial.user_attrs for trial in there):
            queue_again(study, there[-1])
    left = current(study.get_trials(deepcopy=False))
    return sum("invalid" not in trial.user_attrs for trial in left)

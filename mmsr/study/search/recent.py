"""A sampler that learns from the best trials and the newest, so that long studies cost no more."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, cast

from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

BEST, NEWEST = 25, 300
"""TPE calls no more than 25 trials good; those that it compares them with are a sample anyway."""


class BestAndNewest(BaseSampler):
    """Another sampler that is shown the `BEST` and the `NEWEST` trials of one objective alone.

    It takes a tenth of a second and more to look at a thousand trials for every proposal. In a
    study of no more than `NEWEST` trials it makes no difference.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Ask the other sampler."""
        return self._sampler.infer_relative_search_space(_shown(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the other sampler."""
        return self._sampler.sample_relative(_shown(study), trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Ask the other sampler."""
        shown = _shown(study)
        return self._sampler.sample_independent(shown, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Tell the other sampler."""
        self._sampler.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Tell the other sampler."""
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Tell the other sampler."""
        self._sampler.reseed_rng()


class _Shown:
    """A study with its best and newest trials."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def _get_trials(
        self, deepcopy: bool = True, states: Any = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = self._study._get_trials(deepcopy, states, use_cache)
        older = [trial for trial in trials[:-NEWEST] if trial.state == TrialState.COMPLETE]
        sign = 1 if self._study.direction == StudyDirection.MAXIMIZE else -1
        best = heapq.nlargest(BEST, older, key=lambda trial: sign * (trial.value or 0.0))
        return [*sorted(best, key=lambda trial: trial.number), *trials[-NEWEST:]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


def _shown(study: optuna.Study) -> optuna.Study:
    return cast("optuna.Study", _Shown(study))

"""A sampler that learns from the best and the newest trials, so that long studies stay fast."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, cast

from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from mmsr.inner_names import all_trials
from mmsr.study.search.forwarding import ForwardingSampler
from mmsr.study.search.study_view import StudyView

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from mmsr.study.search.study_view import States

BEST, NEWEST = 25, 300
"""TPE never counts more than 25 trials as good; of the others, a sample is enough."""


class BestAndNewest(ForwardingSampler):
    """Wraps a sampler: shows it the `BEST` and the `NEWEST` trials of a study with one objective.

    With all trials of a long study, each proposal would take longer: a tenth of a second and more
    at a thousand trials. In a study of at most `NEWEST` trials it changes nothing.

    Parameters
    ----------
    sampler : the wrapped sampler.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler

    def asked(self, study: optuna.Study, trial: FrozenTrial) -> tuple[BaseSampler, optuna.Study]:
        """The wrapped sampler, and fewer trials."""
        return self._sampler, _shown(study)

    def reseed_rng(self) -> None:
        """Forward to the wrapped sampler."""
        self._sampler.reseed_rng()


class _Shown(StudyView):
    """A study that shows only its best and newest trials."""

    def _get_trials(
        self, deepcopy: bool = True, states: States = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return self.chosen(all_trials(self._study, deepcopy, states, use_cache))

    def chosen(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        older = [trial for trial in trials[:-NEWEST] if trial.state == TrialState.COMPLETE]
        sign = 1 if self._study.direction == StudyDirection.MAXIMIZE else -1
        best = heapq.nlargest(BEST, older, key=lambda trial: sign * (trial.value or 0.0))
        return [*sorted(best, key=lambda trial: trial.number), *trials[-NEWEST:]]


def _shown(study: optuna.Study) -> optuna.Study:
    return cast("optuna.Study", _Shown(study))

"""Samplers and pruners of a study of several models: each model's own sees its trials alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, RandomSampler

from mmsr.study.search.forwarding import ForwardingSampler
from mmsr.study.search.study_view import StudyView
from mmsr.study.storage.outside import model_of

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


class PerModelSampler(ForwardingSampler):
    """Proposes the settings of each model's trials by the model's own sampler.

    Parameters
    ----------
    samplers : a sampler for each model, by its name.
    """

    def __init__(self, samplers: Mapping[str, BaseSampler]) -> None:
        self._samplers = dict(samplers)
        self._other = RandomSampler(seed=0)  # for trials from outside, which are refused then

    def asked(self, study: optuna.Study, trial: FrozenTrial) -> tuple[BaseSampler, optuna.Study]:
        """The sampler of the trial's model, and the model's trials."""
        sampler = self._samplers.get(model_of(trial) or "", self._other)
        return sampler, own_trials(study, trial)

    def reseed_rng(self) -> None:
        """Forward to all samplers."""
        for sampler in self._samplers.values():
            sampler.reseed_rng()


class PerModelPruner(BasePruner):
    """Compares a trial with those of its own model alone.

    Parameters
    ----------
    pruner : what compares them.
    """

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the pruner stops the trial."""
        return self._pruner.prune(own_trials(study, trial), trial)


class _OfModel(StudyView):
    """A study that shows only the trials of one model."""

    def __init__(self, study: optuna.Study, model: str | None) -> None:
        super().__init__(study)
        self._model = model

    def chosen(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return [trial for trial in trials if model_of(trial) == self._model]


def own_trials(study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
    """A study that shows only the trials of one trial's model.

    Parameters
    ----------
    study : the whole study.
    trial : one of its trials.
    """
    return cast("optuna.Study", _OfModel(study, model_of(trial)))

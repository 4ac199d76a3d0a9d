"""The base of samplers that let another sampler propose, and show it a part of the trials."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from optuna.samplers import BaseSampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, TrialState


class ForwardingSampler(BaseSampler):
    """Forwards what it is asked to another sampler; `reseed_rng` is left to the subclass."""

    @abstractmethod
    def asked(self, study: optuna.Study, trial: FrozenTrial) -> tuple[BaseSampler, optuna.Study]:
        """The sampler for a trial, and the study with the trials that it is to see.

        Parameters
        ----------
        study : the study with all trials.
        trial : the trial whose settings are proposed.
        """

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Forward to the other sampler."""
        sampler, seen = self.asked(study, trial)
        return sampler.infer_relative_search_space(seen, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Forward to the other sampler."""
        sampler, seen = self.asked(study, trial)
        return sampler.sample_relative(seen, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Forward to the other sampler."""
        sampler, seen = self.asked(study, trial)
        return sampler.sample_independent(seen, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Forward to the other sampler."""
        sampler, seen = self.asked(study, trial)
        sampler.before_trial(seen, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Forward to the other sampler."""
        sampler, seen = self.asked(study, trial)
        sampler.after_trial(seen, trial, state, values)

"""A study that shows only some of its trials to a pruner or a sampler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from mmsr.inner_names import READ_OF_A_STUDY, all_trials

if TYPE_CHECKING:
    from collections.abc import Container

    import optuna
    from optuna.trial import FrozenTrial, TrialState

    States = Container[TrialState] | None


class StudyView(ABC):
    """Stands in for an `optuna.Study` and shows only some of its trials.

    Parameters
    ----------
    study : the whole study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    @abstractmethod
    def chosen(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """The trials to show, in the order of the study.

        Parameters
        ----------
        trials : all trials of the whole study.
        """

    def get_trials(self, deepcopy: bool = True, states: States = None) -> list[FrozenTrial]:
        """The trials that are shown.

        Parameters
        ----------
        deepcopy : return copies.
        states : only trials in these states; None returns all that are shown.
        """
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self, deepcopy: bool = True, states: States = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = self.chosen(all_trials(self._study, deepcopy, None, use_cache))
        return [trial for trial in trials if states is None or trial.state in states]

    def __getattr__(self, name: str) -> Any:
        if name not in READ_OF_A_STUDY:
            raise AttributeError(f"a view of a study has no {name!r}: it might show hidden trials")
        return getattr(self._study, name)

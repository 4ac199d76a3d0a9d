"""Whose turn it is in a study of several models, and which of a model's known settings come first.

Both follow from the trials that the study has, so that a later driver goes on in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from mmsr.study.planning.rules import Contender, Rules
from mmsr.study.search.share import ModelTrial
from mmsr.study.storage.attributes import OUTCOME, first_number, is_invalid
from mmsr.study.storage.lineage import current
from mmsr.study.storage.outside import enqueued_values, model_of, trials_of

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


class Turns:
    """The turns of a study's models.

    Parameters
    ----------
    study : the Optuna study.
    rules : its models, and how trials are shared out among them.
    clock : returns the present time as Optuna stores it; replaced in tests.
    """

    def __init__(
        self, study: optuna.Study, rules: Rules, clock: Callable[[], datetime] = datetime.now
    ) -> None:
        self._study, self._rules, self._clock = study, rules, clock
        self.exhausted: set[str] = set()
        """Models whose whole space has been run."""

    def next_contender(self) -> tuple[Contender | None, bool]:
        """The model that gets the next trial, or None; and whether trials of any still run."""
        found = models_trials(self._study, self._rules, self._clock())
        name = self._rules.share.next_model(found, self.exhausted)
        contender = next((one for one in self._rules.models if one.model == name), None)
        return contender, any(not trial.over for trials in found.values() for trial in trials)

    def untried(self, contender: Contender) -> dict[str, Any] | None:
        """The first known settings of a model that were not tried, as Optuna stores them; or None.

        Parameters
        ----------
        contender : the model.
        """
        there = [
            enqueued_values(trial)
            for trial in self._study.get_trials(deepcopy=False)
            if model_of(trial) == contender.model
        ]
        kept = map(contender.stored, contender.known)
        return next((settings for settings in kept if settings not in there), None)


def models_trials(
    study: optuna.Study, rules: Rules, now: datetime
) -> Mapping[str, list[ModelTrial]]:
    """The trials of each model of a study, in the order in which they were begun.

    Parameters
    ----------
    study : the Optuna study.
    rules : its models.
    now : the present time, as Optuna stores it.
    """
    found: dict[str, list[ModelTrial]] = {str(one.model): [] for one in rules.models}
    for trial in sorted(current(trials_of(study)), key=first_number):
        model = model_of(trial)
        if model in found and not is_invalid(trial):
            found[model].append(_as_read(trial, now))
    return found


def _as_read(trial: FrozenTrial, now: datetime) -> ModelTrial:
    seconds = trial.user_attrs.get(OUTCOME, {}).get("seconds") or 0.0
    if trial.state == TrialState.RUNNING and trial.datetime_start is not None:
        seconds = max((now - trial.datetime_start).total_seconds(), 0.0)
    finished = trial.state == TrialState.COMPLETE and bool(trial.values)
    return ModelTrial(
        over=trial.state.is_finished(),
        value=trial.values[0] if finished else None,
        hours=seconds / 3600,
        failed=trial.state == TrialState.FAIL,
    )

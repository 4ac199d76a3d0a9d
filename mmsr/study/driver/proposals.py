"""Which trial runs next: a queued one, or a new proposal of the search method; none runs twice.

Two trials are the same if their whole configs are. If the search method keeps repeating itself in a
finite space, the next setting that has not been run is taken instead; when none is left, the study
ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from mmsr.config import Config
from mmsr.dimensions.base import Clash, under
from mmsr.errors import UserError, shown
from mmsr.remote import AnyPath
from mmsr.study.driver.turns import Turns
from mmsr.study.planning.rules import Contender, Rules
from mmsr.study.search.space import (
    all_settings,
    apply,
    is_finite,
    problem_outside,
    propose,
)
from mmsr.study.storage.attributes import (
    CONFIG,
    INVALID,
    KEY,
    MODEL,
    ORIGIN,
    OUTSIDE,
    RETRY_OF,
    config_of,
    is_ours,
    key_of,
    key_of_parameter,
)
from mmsr.study.storage.lineage import newest_checkpoint, note_value
from mmsr.study.storage.outside import given_values, is_from_outside, model_of
from mmsr.study.storage.single_writer import together
from mmsr.study.workers.messages import Proposal

REPEATS = 10
"""After this many repeats in a row, the next unseen setting is taken instead of a proposal."""
_MOST_INVALID = 100


class Exhausted(Exception):
    """Every setting of the space has been run or is running."""


class Waiting(Exception):
    """Running trials have to end before it is known which model gets the next one."""


class Proposals:
    """The trials of a study, one after the other.

    Parameters
    ----------
    study : the Optuna study.
    rules : what may be run.
    checkpoints : folder with one sub-folder per trial.
    """

    def __init__(self, study: optuna.Study, rules: Rules, checkpoints: AnyPath) -> None:
        self._study, self._rules, self._checkpoints = study, rules, checkpoints
        self._seen = {
            _identity(config): trial.number
            for trial in study.get_trials(deepcopy=False)
            if (config := config_of(trial)) is not None
        }
        self._contenders = {contender.model: contender for contender in rules.contenders}
        self._turns = Turns(study, rules)
        self._settings: dict[str | None, Iterator[dict[str, Any]]] = {
            one.model: all_settings(one.space, one.base)
            for one in rules.contenders
            if rules.only is None and is_finite(one.space)
        }

    @property
    def exhausted_models(self) -> frozenset[str]:
        """Those of several models whose whole space has been proposed."""
        return frozenset(self._turns.exhausted)

    def take(self, marks: Mapping[str, Any]) -> tuple[optuna.Trial, Proposal]:
        """The next trial: a queued one, or a new proposal.

        It is stored in one transaction. Those that are refused before it are stored each by itself,
        so they stay refused however this ends.

        Parameters
        ----------
        marks : further attributes of the trial.

        Raises
        ------
        Exhausted : the space is finite, and all of it has been proposed.
        Waiting : trials have to end first.
        UserError : the space yields hardly any valid config, or another client has added a trial
            that keeps the study from running its own.
        """
        try:
            return self._next(marks)
        except Clash as clash:
            for trial in self._study.get_trials(deepcopy=False):
                if clash.key in trial.distributions and is_from_outside(trial):
                    raise _blocked(trial.number, clash.key) from None
            raise

    def _next(self, marks: Mapping[str, Any]) -> tuple[optuna.Trial, Proposal]:
        problem, repeats = "", 0
        waiting = len(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        for attempt in range(_MOST_INVALID + waiting):
            with together(self._study):
                if attempt >= waiting:
                    unseen = self._rules.systematic or repeats >= REPEATS
                    if self._rules.models:
                        self._queue_turn(unseen)
                    elif unseen:
                        self._queue_unseen(self._contenders[None])
                trial = self._study.ask()
                try:
                    contender = self._contender_of(trial)
                    settings = self._settings_of(trial, contender)
                    proposal = self._proposal(trial, contender, settings)
                except UserError as error:
                    problem = str(error)
                else:
                    identity = _identity(proposal.config)
                    same = self._seen.setdefault(identity, trial.number)
                    wanted = self._rules.only is not None or proposal.origin == "retry"
                    if wanted or same == trial.number:
                        own = {} if contender.model is None else {MODEL: contender.model}
                        self._record(trial, proposal, {**marks, **own})
                        return trial, proposal
                    problem = f"the same as trial {same}"
                    repeats += 1
                trial.set_user_attr(INVALID, problem)
                self._study.tell(trial, state=TrialState.FAIL)
        raise UserError(
            f"space: {_MOST_INVALID} proposals in a row were no new valid config ({problem}): "
            "widen or correct the space"
        )

    def _record(self, trial: optuna.Trial, proposal: Proposal, marks: Mapping[str, Any]) -> None:
        """Store a trial's config, and report all epochs up to its checkpoint again.

        So the pruner's rungs are stored.
        """
        config = proposal.config.to_dict()
        for name, value in {CONFIG: config, KEY: proposal.key, **marks}.items():
            trial.set_user_attr(name, value)
        alone = self._rules.single_objective
        for step, objective in proposal.curve.items():
            note_value(trial, step, objective, alone=alone)
            if alone:
                trial.should_prune()

    def _contender_of(self, trial: optuna.Trial) -> Contender:
        """The model of a trial.

        Raises
        ------
        UserError : another client has enqueued the trial, and it is of no model of the study.
        """
        if not self._rules.models:
            return self._contenders[None]
        name = model_of(self._study.get_trials(deepcopy=False)[trial.number])
        if name not in self._contenders:
            names = ", ".join(str(one.model) for one in self._rules.models)
            trial.set_user_attr(ORIGIN, OUTSIDE)
            raise UserError(
                f"it is of model {shown(name)}: name all parameters MODEL/KEY, with one of {names}"
            )
        return self._contenders[name]

    def _settings_of(self, trial: optuna.Trial, contender: Contender) -> dict[str, Any]:
        """The settings of a trial: those that it was enqueued with, else those that are proposed.

        Raises
        ------
        UserError : another client has enqueued the trial with settings that cannot be run.
        Clash : another client has added a trial with another distribution of a parameter.
        """
        space, base, model = contender.space, contender.base, contender.model
        stored_trial = self._study.get_trials(deepcopy=False)[trial.number]
        brought = {} if is_ours(stored_trial) else given_values(stored_trial)
        if not brought:
            return propose(trial, space, base, model)
        given = {key_of_parameter(name): value for name, value in brought.items()}
        trial.set_user_attr(ORIGIN, OUTSIDE)
        if (problem := problem_outside(space, given)) is not None:
            raise UserError(problem)
        try:
            settings = propose(trial, space, base, model)
        except Clash as clash:
            if clash.key not in stored_trial.distributions:
                raise
            raise UserError(f"it has other distributions than the space: {clash}") from None
        for key in given:
            if key not in settings:
                raise UserError(f"{key} exists only{under(space[key].when)}")
        return settings

    def _queue_turn(self, unseen: bool) -> None:
        """Enqueue a trial of the model whose turn it is, with its next known settings if any.

        Parameters
        ----------
        unseen : take a setting not seen yet in place of a proposal.
        """
        while True:
            contender, running = self._turns.next_contender()
            if contender is None:
                raise Waiting if running else Exhausted
            known = self._turns.untried(contender)
            if known is None and unseen:
                try:
                    if self._queue_unseen(contender):
                        return
                except Exhausted:
                    self._turns.exhausted.add(str(contender.model))
                    unseen = self._rules.systematic
                    continue
            origin = "proposed" if known is None else "known"
            marks = {ORIGIN: origin, MODEL: contender.model}
            self._study.enqueue_trial(known or {}, user_attrs=marks)
            return

    def _queue_unseen(self, contender: Contender) -> bool:
        """Enqueue the next setting of a finite space that makes a valid config not seen yet.

        Returns
        -------
        Whether there was one; always False in a space with a continuous dimension.
        """
        for settings in self._settings.get(contender.model, ()):
            try:
                config = apply(contender.base, settings)
            except UserError:
                continue
            if _identity(config) not in self._seen:
                mark = {} if contender.model is None else {MODEL: contender.model}
                kept = contender.stored(settings)
                self._study.enqueue_trial(kept, user_attrs={ORIGIN: "proposed", **mark})
                return True
        if is_finite(contender.space):
            raise Exhausted
        return False

    def _proposal(
        self, trial: optuna.Trial, contender: Contender, settings: dict[str, Any]
    ) -> Proposal:
        only = self._rules.only
        if only is not None and contender.stored(settings) not in only:
            raise UserError("not among the settings to run")
        attrs, left = trial.user_attrs, None
        retry_of = attrs.get(RETRY_OF)
        if retry_of is not None:
            left = newest_checkpoint(self._study, retry_of, self._checkpoints)
        return Proposal(
            number=trial.number,
            key=key_of(trial),
            config=config_of(trial) or self._rules.config_of(contender, settings),
            settings=settings,
            origin=attrs.get(ORIGIN, "proposed"),
            checkpoint=left.folder if left else None,
            follows=retry_of,
            curve=left.curve if left else {},
        )


def _blocked(number: int, key: str) -> UserError:
    return UserError(
        f"trial {number}, which another client added, has {key} with another distribution than the "
        "space, and Optuna's storage takes only one of each parameter: give --name for a new study"
    )


def _identity(config: Config) -> str:
    """A text that is the same for equal configs, whatever their number of threads."""
    flat = {
        key: float(f"{value:.12g}") if isinstance(value, float) else value
        for key, value in config.flat().items()
        if key != "training.threads"
    }
    return json.dumps(flat, sort_keys=True)

"""How the trials of a study of several models are shared out: which model gets the next one.

The answer follows from the trials that the study has, so a driver that takes over a study goes on
as the earlier one would have.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from mmsr.dimensions.mistakes import noting_mistakes
from mmsr.format import plural
from mmsr.numbers import check_whole


@dataclass(frozen=True)
class ModelTrial:
    """What a share reads of one trial."""

    over: bool
    """Whether it has finished, was stopped early, or failed."""
    value: float | None
    """First objective at the best epoch; None unless it has finished."""
    hours: float
    """Hours that it has trained."""
    failed: bool = False


Trials = Mapping[str, Sequence[ModelTrial]]
"""The trials begun of each model, by name in the order of the study; each model's oldest first."""


@dataclass(frozen=True)
class Share(ABC):
    """Base of all ways to share trials out among models."""

    def check(self) -> None:  # noqa: B027 - some have nothing to check
        """Raise UserError if a setting is out of range."""

    @abstractmethod
    def next_model(self, trials: Trials, exhausted: Collection[str] = ()) -> str | None:
        """The model that gets the next trial; None if none does before those that run have ended.

        Parameters
        ----------
        trials : the trials begun of each model.
        exhausted : models whose whole space has been run.
        """

    def in_words(self, n_models: int, n_trials: int) -> str:
        """What each model gets, in words.

        Parameters
        ----------
        n_models, n_trials : number of models and trials of the study.
        """
        return f"{self} for each"

    def quota(self, n_models: int, n_trials: int) -> int | None:
        """Most trials of one model that count; None if that depends on the trials.

        Parameters
        ----------
        n_models, n_trials : number of models and trials of the study.
        """
        return None

    def limited(self, quota: int | None) -> Share:
        """The same share, with at most so many trials of each model where it has a quota.

        Parameters
        ----------
        quota : number of trials.
        """
        return self

    def all_trials(self, n_models: int, each: int) -> int:
        """Number of trials of a study that does not say how many.

        Parameters
        ----------
        n_models : number of its models.
        each : number of trials that a study of one model has then.
        """
        return n_models * each


@dataclass(frozen=True)
class EvenTrials(Share):
    """The model with the fewest trials begun is next; of several, the first in the study's order.

    What one model has too many, of an earlier call, or too few, as its space is exhausted, changes
    nothing for the others.

    Examples
    --------
    >>> trial = ModelTrial(over=True, value=0.1, hours=1.0)
    >>> EvenTrials().next_model({"gru4rec": [trial, trial], "sasrec": [trial]})
    'sasrec'
    """

    each: int | None = None
    """Most trials of each model; None sets no limit. A study's number of trials implies it."""

    def next_model(self, trials: Trials, exhausted: Collection[str] = ()) -> str | None:
        """The model that gets the next trial; None if all have as many as they get."""
        most = math.inf if self.each is None else self.each
        able = [name for name in trials if name not in exhausted and len(trials[name]) < most]
        return min(able, key=_begun(trials), default=None)

    def quota(self, n_models: int, n_trials: int) -> int:
        """Most trials of one model that count."""
        return math.ceil(n_trials / n_models)

    def limited(self, quota: int | None) -> EvenTrials:
        """The same share, with at most so many trials of each model."""
        return replace(self, each=quota)

    def in_words(self, n_models: int, n_trials: int) -> str:
        """What each model gets, in words."""
        each, more = divmod(n_trials, n_models)
        also = f", {plural(more, 'model')} one more" if more else ""
        return f"{plural(each, 'trial')} for each{also}"

    def __str__(self) -> str:
        return "the same number of trials"


@dataclass(frozen=True)
class EvenHours(Share):
    """The model whose trials have trained for the fewest hours is next, running ones included.

    A failed trial counts as the mean of those that did not fail, if it took less: else a model that
    always fails would get all trials that are left.

    Examples
    --------
    >>> short, long = (ModelTrial(over=True, value=0.1, hours=hours) for hours in (1.0, 3.0))
    >>> EvenHours().next_model({"gru4rec": [short, short], "sasrec": [long]})
    'gru4rec'
    """

    def next_model(self, trials: Trials, exhausted: Collection[str] = ()) -> str | None:
        """The model that gets the next trial."""

        good = [t.hours for own in trials.values() for t in own if t.over and not t.failed]
        mean = sum(good) / len(good) if good else 0.0

        def used(name: str) -> tuple[float, int]:
            own = trials[name]
            hours = sum(max(trial.hours, mean * trial.failed) for trial in own)
            return hours, len(own)

        return min((name for name in trials if name not in exhausted), key=used, default=None)

    def __str__(self) -> str:
        return "the same hours of training"


@noting_mistakes
@dataclass(frozen=True, kw_only=True)
class ModelHalving(Share):
    """Successive halving over models: after each round, the worse half gets no more trials.

    In the first round every model gets `first_round` trials. When all of them have ended, the
    models are ranked by their best finished trial, and the better half (of an odd number, the
    larger one) goes on. Each later round gives every model left twice as many trials as the round
    before. The last model left gets all trials that remain.

    The method is that of Jamieson and Talwalkar, 2016, with models in place of settings.

    Examples
    --------
    >>> share = ModelHalving(first_round=1)
    >>> trials = {
    ...     name: [ModelTrial(over=True, value=value, hours=1.0)]
    ...     for name, value in {"gru4rec": 0.2, "sasrec": 0.3, "nova": 0.1}.items()
    ... }
    >>> [name for name in trials if name in share.left(trials)]
    ['gru4rec', 'sasrec']
    """

    first_round: int = 4
    """Number of trials of each model in the first round."""

    def check(self) -> None:
        """Raise UserError if a setting is out of range."""
        check_whole("share: first_round=", self.first_round, 1)

    def next_model(self, trials: Trials, exhausted: Collection[str] = ()) -> str | None:
        """The model that gets the next trial; None while trials of the round run."""
        left, quota = self._round(trials, exhausted)
        able = [name for name in left if name not in exhausted]
        if len(left) > 1:
            able = [name for name in able if len(trials[name]) < quota]
        return min(able, key=_begun(trials), default=None)

    def left(self, trials: Trials, exhausted: Collection[str] = ()) -> tuple[str, ...]:
        """The models that still get trials, in the study's order.

        Parameters
        ----------
        trials, exhausted : as for `next_model`.
        """
        return self._round(trials, exhausted)[0]

    def all_trials(self, n_models: int, each: int) -> int:
        """Number of trials of all rounds together, until one model is left."""
        total, size = 0, self.first_round
        while n_models > 1:
            total, size, n_models = total + n_models * size, 2 * size, (n_models + 1) // 2
        return total or each

    def _round(self, trials: Trials, exhausted: Collection[str]) -> tuple[tuple[str, ...], int]:
        """The models left, and how many trials each has at the end of the present round."""
        left, size = tuple(trials), self.first_round
        quota = size
        while len(left) > 1 and all(
            (len(trials[name]) >= quota or name in exhausted)
            and all(trial.over for trial in trials[name][:quota])
            for name in left
        ):
            best = sorted(left, key=lambda name: _best(trials[name][:quota]), reverse=True)
            kept = best[: (len(left) + 1) // 2]
            left = tuple(name for name in left if name in kept)
            size *= 2
            quota += size
        return left, quota

    def __str__(self) -> str:
        return f"{plural(self.first_round, 'trial')} in the first round of halving over models"


SHARES: Mapping[str, Share] = {"trials": EvenTrials(), "hours": EvenHours()}
"""Shares by the names that a study file gives them."""


def _begun(trials: Trials) -> Callable[[str], int]:
    return lambda name: len(trials[name])


def _best(trials: Sequence[ModelTrial]) -> float:
    """Value of the best finished trial; without one, less than any."""
    return max((one.value for one in trials if one.value is not None), default=float("-inf"))

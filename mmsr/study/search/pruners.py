"""Pruners: how weak trials are stopped early, by comparison with others at the same epoch.

All of them ignore failed trials, and count a resumed trial once (`mmsr.study.search.competition`).
None stops a trial before `startup_trials` others have finished.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsr.dimensions.mistakes import noting_mistakes
from mmsr.numbers import check_whole

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


@dataclass(frozen=True)
class Pruner(ABC):
    """Base of all pruners."""

    startup_trials: int = 4
    """Number of trials that must have finished before any trial is stopped."""

    def check(self) -> None:
        """Raise UserError if a setting is out of range."""
        check_whole("pruner: startup_trials=", self.startup_trials, 0)

    @abstractmethod
    def build(self, epochs: int) -> BasePruner:
        """Optuna's pruner, for trials of at most `epochs` epochs."""


@noting_mistakes
@dataclass(frozen=True, kw_only=True)
class Halving(Pruner):
    """Asynchronous successive halving: at epochs r, r·f, r·f², … the best 1/f continue.

    The method is that of Li et al., 2020 (ASHA).

    Examples
    --------
    >>> print(Halving(first_rung=2, factor=4))
    successive halving from epoch 2, factor 4, after 4 finished trials
    """

    first_rung: int = 3
    """Epoch `r` of the first comparison."""
    factor: int = 3
    """`f`: at each comparison, one trial in this many continues."""

    def check(self) -> None:
        """Raise UserError if a setting is out of range."""
        check_whole("pruner: first_rung=", self.first_rung, 1)
        check_whole("pruner: factor=", self.factor, 2)
        super().check()

    def build(self, epochs: int) -> BasePruner:
        """Optuna's pruner."""
        from optuna.pruners import SuccessiveHalvingPruner

        from mmsr.study.search.competition import AmongCurrent

        halving = SuccessiveHalvingPruner(
            min_resource=self.first_rung, reduction_factor=self.factor
        )
        return AmongCurrent(halving, self.startup_trials)

    def __str__(self) -> str:
        return (
            f"successive halving from epoch {self.first_rung}, factor {self.factor}, "
            f"after {self.startup_trials} finished trials"
        )


@noting_mistakes
@dataclass(frozen=True, kw_only=True)
class Hyperband(Pruner):
    """Several successive halvings side by side, each with a later first rung than the one before.

    A trial that is only slow at first has a chance in a later bracket. Trials are dealt to the
    brackets in turn, and compared only with trials of their own bracket (Li et al., 2018).

    Examples
    --------
    >>> print(Hyperband(first_rung=2))
    Hyperband from epoch 2, factor 3, after 4 finished trials
    """

    first_rung: int = 1
    """Epoch `r` of the first bracket's first comparison; the others start at r·f, r·f², …"""
    factor: int = 3
    """`f`: at each comparison, one trial in this many continues."""

    def check(self) -> None:
        """Raise UserError if a setting is out of range."""
        check_whole("pruner: first_rung=", self.first_rung, 1)
        check_whole("pruner: factor=", self.factor, 2)
        super().check()

    def shares(self, epochs: int) -> tuple[int, ...]:
        """Number of trials that each bracket gets in one round of dealing, the first bracket first.

        There are S = floor(log_f(epochs / r)) + 1 brackets, one if epochs < r. Bracket b gets
        ceil(S · f^s / (s + 1)) trials with s = S - 1 - b: n of algorithm 1 in Li et al. (2018), up
        to a factor that is the same for all brackets.

        Parameters
        ----------
        epochs : most epochs of a trial.

        Examples
        --------
        >>> Hyperband(first_rung=1, factor=3).shares(27)
        (27, 12, 6, 4)
        """
        brackets = 1
        while self.first_rung * self.factor**brackets <= epochs:
            brackets += 1
        return tuple(
            math.ceil(brackets * self.factor**s / (s + 1)) for s in reversed(range(brackets))
        )

    def build(self, epochs: int) -> BasePruner:
        """Optuna's successive halving, one for each bracket."""
        from optuna.pruners import SuccessiveHalvingPruner

        from mmsr.study.search.competition import AmongCurrent, Brackets

        shares = self.shares(epochs)
        halvings = [
            SuccessiveHalvingPruner(
                min_resource=self.first_rung,
                reduction_factor=self.factor,
                min_early_stopping_rate=bracket,
            )
            for bracket in range(len(shares))
        ]
        return AmongCurrent(Brackets(halvings, shares), self.startup_trials)

    def __str__(self) -> str:
        return (
            f"Hyperband from epoch {self.first_rung}, factor {self.factor}, "
            f"after {self.startup_trials} finished trials"
        )


@noting_mistakes
@dataclass(frozen=True, kw_only=True)
class Median(Pruner):
    """Stops a trial whose best value so far is below the median of finished trials at that epoch.

    Examples
    --------
    >>> print(Median(first_epoch=3, startup_trials=5))
    median of finished trials from epoch 3, after 5 of them
    """

    first_epoch: int = 2
    """Epoch of the first comparison."""

    def check(self) -> None:
        """Raise UserError if a setting is out of range."""
        check_whole("pruner: first_epoch=", self.first_epoch, 1)
        super().check()

    def build(self, epochs: int) -> BasePruner:
        """Optuna's pruner."""
        from optuna.pruners import MedianPruner

        from mmsr.study.search.competition import AmongCurrent

        median = MedianPruner(n_startup_trials=0, n_warmup_steps=self.first_epoch)
        return AmongCurrent(median, self.startup_trials)

    def __str__(self) -> str:
        return (
            f"median of finished trials from epoch {self.first_epoch}, "
            f"after {self.startup_trials} of them"
        )


PRUNERS: Mapping[str, type[Pruner] | None] = {
    "halving": Halving,
    "hyperband": Hyperband,
    "median": Median,
    "none": None,
}
"""Pruners by their name on the command line."""


def chosen_pruner(name: str | None, own: Pruner | None) -> Pruner | None:
    """The pruner with this name; if the study's own has it, that one, with its settings.

    Parameters
    ----------
    name : name on the command line; None takes the study's own.
    own : the pruner of the study file.
    """
    if name is None:
        return own
    kind = PRUNERS[name]
    if kind is None or (own is not None and isinstance(own, kind)):
        return own if kind is not None else None
    return kind()

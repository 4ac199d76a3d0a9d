"""How weak trials are stopped early: by comparison with others at the same epoch.

All of them leave out trials that failed, and count one that was cut off and went on once
(see `mmsr.study.search.competition`). None stops a trial before `startup_trials` others have
been trained to their end.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsr.numbers import check_whole

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


@dataclass(frozen=True)
class Pruner(ABC):
    """Base of all pruners."""

    startup_trials: int = 4
    """Trials that must have been trained to their end before any is stopped."""

    def check(self) -> None:
        """Raise UserError for a knob out of range."""
        check_whole("pruner: startup_trials", self.startup_trials, 0)

    @abstractmethod
    def build(self, epochs: int) -> BasePruner:
        """Optuna's pruner, for trials of at most so many epochs."""


@dataclass(frozen=True, kw_only=True)
class Halving(Pruner):
    """Asynchronous successive halving: at epochs r, r·f, r·f², … the best 1/f go on."""

    first_rung: int = 3
    """Epoch `r` of the first comparison."""
    factor: int = 3
    """`f`: one in so many goes on."""

    def check(self) -> None:
        """Raise UserError for a knob out of range."""
        check_whole("pruner: first_rung", self.first_rung, 1)
        check_whole("pruner: factor", self.factor, 2)
        super().check()

    def build(self, epochs: int) -> BasePruner:
        """Optuna's pruner."""
        from optuna.pruners import SuccessiveHalvingPruner

        from mmsr.study.search.competition import AmongCurrent

        return AmongCurrent(SuccessiveHalvingPruner(self.first_rung, self.factor, 0))

    def __str__(self) -> str:
        return (
            f"successive halving from epoch {self.first_rung}, factor {self.factor}, "
            f"after {self.startup_trials} finished trials"
        )


@dataclass(frozen=True, kw_only=True)
class Hyperband(Pruner):
    """Several successive halvings side by side, each with a later first rung than the one before.

    What is only slow at first has a chance in a later bracket. Trials are dealt out to the
    brackets in turn, and compared with those of their own alone (Li et al., 2018).
    """

    first_rung: int = 1
    """Epoch `r` of the first bracket's first comparison; the others begin at r·f, r·f², …"""
    factor: int = 3
    """`f`: one in so many goes on."""

    def check(self) -> None:
        """Raise UserError for a knob out of range."""
        check_whole("pruner: first_rung", self.first_rung, 1)
        check_whole("pruner: factor", self.factor, 2)
        super().check()

    def shares(self, epochs: int) -> tuple[int, ...]:
        """Of so many trials as their sum, how many belong to each bracket."""
        brackets = 1
        while self.first_rung * self.factor**brackets <= epochs:
            brackets += 1
        return tuple(
            math.ceil(brackets * self.factor**left / (left + 1)) for left in range(brackets)[::-1]
        )

    def build(self, epochs: int) -> BasePruner:
        """Optuna's successive halving, once a bracket."""
        from optuna.pruners import SuccessiveHalvingPruner

        from mmsr.study.search.competition import AmongCurrent, Brackets

        shares = self.shares(epochs)
        halvings = [
            SuccessiveHalvingPruner(self.first_rung, self.factor, number)
            for number in range(len(shares))
        ]
        return AmongCurrent(Brackets(halvings, shares))

    def __str__(self) -> str:
        return (
            f"Hyperband from epoch {self.first_rung}, factor {self.factor}, "
            f"after {self.startup_trials} finished trials"
        )


@dataclass(frozen=True, kw_only=True)
class Median(Pruner):
    """Stop a trial whose best epoch so far is below the median of finished trials at this epoch."""

    first_epoch: int = 2
    """Epoch of the first comparison."""

    def check(self) -> None:
        """Raise UserError for a knob out of range."""
        check_whole("pruner: first_epoch", self.first_epoch, 1)
        super().check()

    def build(self, epochs: int) -> BasePruner:
        """Optuna's pruner."""
        from optuna.pruners import MedianPruner

        from mmsr.study.search.competition import AmongCurrent

        startup = max(1, self.startup_trials)
        return AmongCurrent(MedianPruner(n_startup_trials=startup, n_warmup_steps=self.first_epoch))

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
"""Pruners by the name that the command line knows."""


def chosen_pruner(name: str | None, own: Pruner | None) -> Pruner | None:
    """The pruner of this name; the study's own, with its knobs, where it is of that kind."""
    if name is None:
        return own
    kind = PRUNERS[name]
    if kind is None or (own is not None and isinstance(own, kind)):
        return own if kind is not None else None
    return kind()

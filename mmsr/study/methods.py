"""How a study proposes settings and stops weak trials: a few knobs around Optuna."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsr.errors import UserError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


@dataclass(frozen=True)
class Tpe:
    """Tree-structured Parzen estimator over all dimensions jointly; knows of running trials."""

    startup_trials: int = 8
    """Trials at random before the model proposes."""

    def check(self) -> None:
        """Raise UserError for a knob out of range."""
        _whole("sampler: startup_trials", self.startup_trials, 0)

    def build(self, seed: int, already: int) -> BaseSampler:
        """Optuna's sampler. A resumed study (`already` > 0 trials) draws new random numbers."""
        import warnings

        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                n_startup_trials=self.startup_trials,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=(seed + 1_000_003 * already) % 2**32,
            )

    def __str__(self) -> str:
        return f"TPE, the first {self.startup_trials} at random"


@dataclass(frozen=True)
class Halving:
    """Asynchronous successive halving: at epochs r, r·f, r·f², … the best 1/f go on."""

    first_rung: int = 3
    """Epoch `r` of the first comparison."""
    factor: int = 3
    """`f`: one in so many goes on."""
    startup_trials: int = 4
    """Trials that must have been trained to their end before any is stopped."""

    def check(self) -> None:
        """Raise UserError for a knob out of range."""
        _whole("pruner: first_rung", self.first_rung, 1)
        _whole("pruner: factor", self.factor, 2)
        _whole("pruner: startup_trials", self.startup_trials, 0)

    def build(self) -> BasePruner:
        """Optuna's pruner."""
        from optuna.pruners import SuccessiveHalvingPruner

        from mmsr.study.succession import AmongCurrent

        halving = SuccessiveHalvingPruner(
            min_resource=self.first_rung, reduction_factor=self.factor, min_early_stopping_rate=0
        )
        return AmongCurrent(halving)

    def __str__(self) -> str:
        return (
            f"successive halving from epoch {self.first_rung}, factor {self.factor}, "
            f"after {self.startup_trials} finished trials"
        )


def _whole(what: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{what}={value!r}: give a whole number of at least {least}")

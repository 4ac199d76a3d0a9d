"""Comparison of models over users, as reproduced tables and finalized studies both use it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsr.evaluation.significance import Floats, Spread

COMPARED = ("hr@5", "mrr@5", "hr@20", "mrr@20")
"""Metrics that are shown and compared."""
LEVEL = 0.05
"""A difference is marked if its corrected p-value is below this level."""
LEAST_SEEDS = 3
"""Models are compared over seeds if both have as many."""


class Comparison(BaseModel):
    """One metric of a model against another, paired over users."""

    model_config = ConfigDict(frozen=True)

    difference: float
    """Mean over users, first minus second."""
    low: float
    high: float
    """95 % interval of the difference: bootstrap over users."""
    p: float
    """Wilcoxon's signed-rank test, two-sided."""
    p_corrected: float
    """The same, with Holm's correction over all pairs compared."""
    p_bootstrap: float
    """Two-sided p-value from the resampled users that give the interval."""
    p_bootstrap_corrected: float
    """The same, with Holm's correction over all pairs compared."""

    @property
    def significant(self) -> bool:
        """Whether the two differ, by Wilcoxon's test at level `LEVEL`."""
        return self.p_corrected < LEVEL


class SeedComparison(BaseModel):
    """One metric of a model against another, over users and seeds."""

    model_config = ConfigDict(frozen=True)

    difference: float
    """Mean over users and seeds, first minus second."""
    low: float
    high: float
    """95 % interval of the difference, for other users and other seeds."""
    freedom: float
    """Degrees of freedom of the t-test."""
    p: float
    """Two-sided p-value of `mmsr.evaluation.significance.crossed_test`."""
    p_corrected: float
    """The same, with Holm's correction over everything compared."""

    @property
    def significant(self) -> bool:
        """Whether the two differ, at level `LEVEL`."""
        return self.p_corrected < LEVEL


def compare_seeds(pairs: Sequence[tuple[Floats, Floats, Spread]]) -> list[SeedComparison]:
    """Compare pairs of models over users and seeds; p-values are corrected for the number of pairs.

    Parameters
    ----------
    pairs : for each pair, two float64 arrays [n_seeds, n_users] of the same users in the same
        order, and the spread of runs that is pooled over all models, see
        `mmsr.evaluation.significance.crossed_test`.
    """
    from mmsr.evaluation.significance import crossed_test, holm

    found = [crossed_test(first, second, pooled=pooled) for first, second, pooled in pairs]
    corrected = holm([one.p for one in found])
    return [
        SeedComparison(
            difference=one.difference,
            low=one.low,
            high=one.high,
            freedom=one.freedom,
            p=one.p,
            p_corrected=p,
        )
        for one, p in zip(found, corrected, strict=True)
    ]


def compare(pairs: Sequence[tuple[Floats, Floats]]) -> list[Comparison]:
    """Compare pairs of models by one metric; p-values are corrected for the number of pairs.

    Parameters
    ----------
    pairs : two float64 arrays [n] for each pair, values of the same users in the same order.
    """
    from mmsr.evaluation.significance import holm, paired_bootstrap, paired_wilcoxon

    p_values = [paired_wilcoxon(first, second) for first, second in pairs]
    drawn = [paired_bootstrap(first, second) for first, second in pairs]
    corrected = zip(holm(p_values), holm([one.p for one in drawn]), strict=True)
    return [
        Comparison(
            difference=float((first - second).mean()),
            low=interval.low,
            high=interval.high,
            p=p,
            p_corrected=p_corrected,
            p_bootstrap=interval.p,
            p_bootstrap_corrected=p_bootstrap_corrected,
        )
        for (first, second), p, interval, (p_corrected, p_bootstrap_corrected) in zip(
            pairs, p_values, drawn, corrected, strict=True
        )
    ]


def users_means(
    ranks: Sequence[NDArray[np.int64]], users: NDArray[np.int32]
) -> Callable[[str], Floats]:
    """A function from a metric to users' values of it, averaged over models with different seeds.

    Parameters
    ----------
    ranks : int64 [t] for each model, ranks of the same targets.
    users : int32 [t], user of each target.

    Returns
    -------
    Function of a metric's name, such as `mrr@20`; returns float64 [n_users].
    """
    from mmsr.evaluation import contributions
    from mmsr.evaluation.significance import per_user_means

    def of(metric: str) -> Floats:
        values = [per_user_means(contributions(one)[metric], users) for one in ranks]
        mean: Floats = np.mean(values, axis=0)
        return mean

    return of


def mean_and_std(
    found: Sequence[Mapping[str, float]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean of each metric over runs, and sample standard deviation (empty for fewer than two runs).

    Parameters
    ----------
    found : metrics of each run, by name.
    """
    if not found:
        return {}, {}
    values = {name: [one[name] for one in found] for name in found[0]}
    mean = {name: statistics.fmean(numbers) for name, numbers in values.items()}
    if len(found) == 1:
        return mean, {}
    return mean, {name: statistics.stdev(numbers) for name, numbers in values.items()}

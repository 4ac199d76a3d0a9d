"""Whether models differ, paired over users: what tables and finals have in common."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsr.evaluation.significance import Floats

COMPARED = ("hr@5", "mrr@5", "hr@20", "mrr@20")
"""Metrics that are shown and compared."""
LEVEL = 0.05
"""A difference is marked where its corrected p-value is below."""


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
    """Holm's correction over what is compared with each other."""
    p_bootstrap: float
    """Two-sided, of the same resampled users as the interval."""
    p_bootstrap_corrected: float

    @property
    def significant(self) -> bool:
        """Whether the two differ, by Wilcoxon's test."""
        return self.p_corrected < LEVEL


def compare(pairs: Sequence[tuple[Floats, Floats]]) -> list[Comparison]:
    """Compare pairs of models by one metric; p-values are corrected for the number of pairs.

    Parameters
    ----------
    pairs : float64 [n] each, values of the same users in the same order.
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
    """Each user's value of a metric, averaged over models that differ in their seed.

    Parameters
    ----------
    ranks : of each model, int64 [t]: ranks of the same targets.
    users : [t], whose targets they are.
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
    """Mean of each metric over runs, and the sample standard deviation where there are two."""
    if not found:
        return {}, {}
    values = {name: [one[name] for one in found] for name in found[0]}
    mean = {name: statistics.fmean(numbers) for name, numbers in values.items()}
    if len(found) == 1:
        return mean, {}
    return mean, {name: statistics.stdev(numbers) for name, numbers in values.items()}

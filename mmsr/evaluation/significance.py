"""Whether one model is better than another: tests paired over users, corrected for their number.

Legend: n users, m comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DIGITS = 12
_CHUNK_DRAWS = 4_000_000
"""Users that the bootstrap draws at a time."""


def per_user_means(values: Floats, users: NDArray[np.integer]) -> Floats:
    """Mean over the targets of each user.

    Parameters
    ----------
    values : float64 [t], one value a target, e.g. a metric's contribution.
    users : integers [t], whose target it is.

    Returns
    -------
    float64 [n], by ascending user, of the users that occur.
    """
    _, places, counts = np.unique(users, return_inverse=True, return_counts=True)
    means: Floats = np.bincount(places, weights=values) / counts
    return means


def paired_wilcoxon(first: Floats, second: Floats) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test.

    Pairs without a difference say nothing and are left out, as Wilcoxon did. Differences are
    rounded to 12 digits, so that what differs by the order of summation alone counts as equal.
    Exact for few pairs without ties, else by the normal approximation with tie correction
    (`scipy.stats.wilcoxon`).

    Parameters
    ----------
    first, second : float64 [n], values of the same users in the same order.

    Returns
    -------
    p in [0, 1]; 1 where no pair differs.

    Raises
    ------
    ValueError : the two do not pair up.
    """
    difference = np.round(_differences(first, second), _DIGITS)
    if not difference.any():
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(difference[difference != 0]).pvalue)


def paired_bootstrap(
    first: Floats,
    second: Floats,
    *,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the mean difference `first - second`, users drawn with replacement.

    Parameters
    ----------
    first, second : float64 [n], values of the same users in the same order.
    n_resamples : how often n users are drawn.
    confidence : share of the resampled means that the interval holds.
    seed : of the draws; the same seed gives the same interval.

    Returns
    -------
    Lower and upper end.

    Raises
    ------
    ValueError : the two do not pair up, or there is nobody to draw.
    """
    difference = _differences(first, second)
    n = len(difference)
    if n == 0:
        raise ValueError("no users to draw from")
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_DRAWS // n)
    means = np.concatenate(
        [
            difference[rng.integers(n, size=(min(rows, n_resamples - done), n))].mean(axis=1)
            for done in range(0, n_resamples, rows)
        ]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the chance of any false finding stays below the level.

    Rejecting where the corrected value is at most the level equals comparing the i-th smallest of
    m p-values with level / (m - i + 1) until the first one fails (Holm, 1979).

    Parameters
    ----------
    p_values : m p-values.

    Returns
    -------
    The m corrected values in the order given, none below its p-value, none above 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return [float(value) for value in corrected]


def _differences(first: Floats, second: Floats) -> Floats:
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"values must pair up, got shapes {first.shape} and {second.shape}")
    difference: Floats = first - second
    return difference

"""Is one model better than another? Tests paired over users, corrected for their number.

Legend: n users, m comparisons, s and t seeds (runs) of a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DIGITS = 12
_CHUNK_DRAWS = 4_000_000
"""Users that the bootstrap draws at a time."""


class PairedBootstrap(NamedTuple):
    """The result of a paired bootstrap: interval and p-value of a mean difference."""

    low: float
    high: float
    """Ends of the percentile interval."""
    p: float
    """Two-sided: twice the share of resampled means on the rarer side of 0 (or at 0), at most 1."""


class Spread(NamedTuple):
    """How much runs of one model differ in their means over users."""

    variance: float
    freedom: float


class CrossedTest(NamedTuple):
    """A difference of two means over users and seeds, with its t-test."""

    difference: float
    low: float
    high: float
    """Ends of the 95 % interval."""
    freedom: float
    """Satterthwaite's degrees of freedom."""
    p: float
    """Two-sided."""


def per_user_means(values: Floats, users: NDArray[np.integer]) -> Floats:
    """Mean over the targets of each user.

    Parameters
    ----------
    values : float64 [t], one value a target, e.g. a metric's contribution.
    users : integers [t], user of each target.

    Returns
    -------
    float64 [n], by ascending user, of the users that occur.
    """
    _, places, counts = np.unique(users, return_inverse=True, return_counts=True)
    means: Floats = np.bincount(places, weights=values) / counts
    return means


def paired_wilcoxon(first: Floats, second: Floats) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test.

    Pairs without a difference are left out, as Wilcoxon did. Differences are rounded to 12
    decimals, so that values that differ only by the order of summation count as equal. The test is
    exact for few pairs without ties; otherwise it uses the normal approximation with tie correction
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
) -> PairedBootstrap:
    """Percentile interval of the mean difference `first - second`, users drawn with replacement.

    Parameters
    ----------
    first, second : float64 [n], values of the same users in the same order.
    n_resamples : how often n users are drawn.
    confidence : share of the resampled means that the interval holds.
    seed : of the draws; the same seed gives the same interval.

    Raises
    ------
    ValueError : the two do not pair up, or there are no users.
    """
    difference = _differences(first, second)
    n = len(difference)
    if n == 0:
        raise ValueError("no users to draw from")
    means = np.concatenate(
        [difference[drawn].mean(axis=1) for drawn in _draws(n, n_resamples, seed)]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    rarer = min((means <= 0).sum(), (means >= 0).sum())
    p = min(1.0, 2 * (rarer + 1) / (n_resamples + 1))
    return PairedBootstrap(float(low), float(high), float(p))


def pooled_spread(models: Sequence[Floats]) -> Spread:
    """The variance between runs of a model, estimated from several models together.

    Parameters
    ----------
    models : float64 [s, n] for each model, users' values in each of its runs.

    Raises
    ------
    ValueError : no model has two runs.
    """
    means = [one.mean(axis=1) for one in models]
    freedom = sum(len(one) - 1 for one in means)
    if freedom < 1:
        raise ValueError("no model has two runs")
    return Spread(sum(float(((m - m.mean()) ** 2).sum()) for m in means) / freedom, freedom)


def crossed_test(
    first: Floats, second: Floats, *, pooled: Spread | None = None, confidence: float = 0.95
) -> CrossedTest:
    """Test whether two models differ, for other users and other seeds than these.

    Users and seeds are crossed random effects: all runs rank the same users, and a run is good or
    bad for all users at once. So the variance of the difference of the means is estimated as

    V = var(d) / n + var(a) / s + var(b) / t,

    where d [n] are the users' differences of means over seeds, a [s] and b [t] the runs' means over
    users; runs of the two models are independent. The interaction of users and runs is part of all
    terms, so that V errs on the large side. The difference over the square root of V is compared
    with Student's t, with Satterthwaite's degrees of freedom: few where V comes from few seeds.

    The variance of two or three runs is often small by chance. A test that trusts it finds far too
    much at the low levels that a correction for many comparisons needs. So var(a) and var(b) are
    each replaced by the variance `pooled` over many models where that is larger, with its degrees
    of freedom. The larger of the two, because the pooled variance alone finds too much where one
    model's runs vary more than those of the others.

    Sources: Satterthwaite, An approximate distribution of estimates of variance components,
    Biometrics Bulletin 2 (1946); Clark, The language-as-fixed-effect fallacy, Journal of Verbal
    Learning and Verbal Behavior 12 (1973), for sums of mean squares with crossed random effects.

    Parameters
    ----------
    first, second : float64 [s, n] and [t, n], users' values in each run of a model; the users are
        the same, in the same order.
    pooled : the least spread of a model's runs, see `pooled_spread`; None takes each model's own.
    confidence : of the interval.

    Raises
    ------
    ValueError : there are fewer than two runs of a model or fewer than two users, or users do not
        pair up.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"users must pair up, got shapes {first.shape} and {second.shape}")
    if min(*first.shape, *second.shape) < 2:
        raise ValueError(f"two seeds and two users at least, got {first.shape}, {second.shape}")
    from scipy.special import stdtr, stdtrit

    users = first.mean(axis=0) - second.mean(axis=0)
    terms = [(_spread(users), 1 / len(users))]
    shared = 0.0
    for runs in (first, second):
        own = _spread(runs.mean(axis=1))
        if pooled is not None and own.variance < pooled.variance:
            shared += 1 / len(runs)
        else:
            terms.append((own, 1 / len(runs)))
    if pooled is not None:  # one estimate, so one term even where both models take it
        terms.append((pooled, shared))
    parts = np.array([spread.variance * share for spread, share in terms])
    difference, variance = float(users.mean()), float(parts.sum())
    if variance == 0:
        return CrossedTest(difference, difference, difference, 1.0, float(difference == 0.0))
    degrees = np.array([spread.freedom for spread, _ in terms])
    freedom = variance**2 / float((parts**2 / degrees).sum())
    error = variance**0.5
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    p = 2 * float(stdtr(freedom, -abs(difference) / error))
    return CrossedTest(difference, difference - reach, difference + reach, freedom, p)


def bootstrap_interval(
    values: Floats,
    users: NDArray[np.integer],
    *,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Percentile intervals of means over targets; users are drawn, with all of their targets.

    A user's targets resemble each other, so drawing targets one by one would give intervals that
    are too narrow.

    Parameters
    ----------
    values : float64 [t, k], k values a target, e.g. k metrics' contributions.
    users : integers [t], user of each target.
    n_resamples, confidence, seed : as for `paired_bootstrap`.

    Returns
    -------
    Lower and upper ends, float64 [k] each.

    Raises
    ------
    ValueError : there are no users.
    """
    _, places, counts = np.unique(users, return_inverse=True, return_counts=True)
    n = len(counts)
    if n == 0:
        raise ValueError("no users to draw from")
    sums = np.stack([np.bincount(places, weights=column) for column in values.T], axis=1)
    means = []
    for drawn in _draws(n, n_resamples, seed):
        rows = len(drawn)
        cells = (drawn + n * np.arange(rows)[:, None]).ravel()
        times = np.bincount(cells, minlength=rows * n).reshape(rows, n).astype(np.float64)
        means.append(times @ sums / (times @ counts)[:, None])
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail), axis=0)
    return low, high


def _draws(n: int, n_resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield `n_resamples` draws of n out of n with replacement, in chunks that fit in memory."""
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_DRAWS // n)
    for done in range(0, n_resamples, rows):
        yield rng.integers(n, size=(min(rows, n_resamples - done), n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the chance of any false finding stays below the level.

    Rejecting where the corrected value is at most the level is the same as comparing the i-th
    smallest of m p-values with level / (m - i + 1) until the first one fails (Holm, 1979).

    Parameters
    ----------
    p_values : m p-values.

    Returns
    -------
    The m corrected values in the given order, none below its p-value, none above 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return [float(value) for value in corrected]


def _spread(values: Floats) -> Spread:
    return Spread(float(values.var(ddof=1)), len(values) - 1)


def _differences(first: Floats, second: Floats) -> Floats:
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"values must pair up, got shapes {first.shape} and {second.shape}")
    difference: Floats = first - second
    return difference

"""Balanced k-means: clusters of equal size, with points as near to their centres as that allows.

Each round assigns the points under a capacity of n/C for each centre, then moves the centres to the
means. The assignment is a transport problem. Its dual variables are prices of the centres: a centre
that too many points want gets dearer until demand meets capacity. They are approximated by Sinkhorn
iterations at falling temperatures (Cuturi 2013). At these prices the points then choose in turn, so
that the sizes are exact. Time and memory are O(n · C) a round, however many points are equal.

Shapes: n points, C centres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float32]
_ROUNDS = 20
_LEAST_GAIN = 1e-3
"""Share of the cost by which a round must lower it for another one to follow."""
_TEMPERATURES = (1.0, 0.3, 0.1, 0.03, 0.01)
"""In units of the mean cost of a point's nearest centre."""
_ITERATIONS = 10
"""Updates of the prices at each temperature."""
_CHUNK = 8192


def balanced_kmeans(
    points: NDArray[np.float32], centres: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Cluster points into clusters whose sizes differ by at most one.

    Parameters
    ----------
    points : float32 `[n, W]`, at least as many as centres.
    centres : float32 `[C, W]`, where the search begins.

    Returns
    -------
    assigned : int64 `[n]`, the centre of each point; sizes are n/C, rounded up or down.
    centres : float32 `[C, W]`, the means of the clusters.
    prices : float32 `[C]`; a point that was not clustered belongs to the centre with the least sum
        of squared distance and price.
    """
    prices = np.zeros(len(centres), dtype=np.float32)
    assigned, least = np.zeros(len(points), dtype=np.int64), np.inf
    for _ in range(_ROUNDS):
        costs_nC = squared_distances(points, centres)
        tried = balancing_prices(costs_nC, prices)
        found = fill(costs_nC + tried)
        cost = float(costs_nC[np.arange(len(points)), found].sum(dtype=np.float64))
        if cost >= least:
            break
        gain = np.inf if least == np.inf else least - cost
        assigned, prices, least = found, tried, cost
        centres = _means(points, assigned, len(centres))
        if gain < _LEAST_GAIN * least:
            break
    return assigned, centres, balancing_prices(squared_distances(points, centres), prices)


def squared_distances(points: NDArray[np.float32], centres: NDArray[np.float32]) -> Costs:
    """Squared Euclidean distance of every point to every centre.

    Parameters
    ----------
    points, centres : float32 `[n, W]` and `[C, W]`.

    Returns
    -------
    float32 `[n, C]`.
    """
    from sklearn.metrics import pairwise_distances

    found: Costs = pairwise_distances(points, centres, metric="sqeuclidean").astype(np.float32)
    return found


def balancing_prices(costs_nC: Costs, start: NDArray[np.float32]) -> NDArray[np.float32]:
    """Prices at which about equally many points choose each centre.

    Parameters
    ----------
    costs_nC : what each centre costs each point.
    start : float32 `[C]`, first prices.

    Returns
    -------
    float32 `[C]`, zero on average.
    """
    n, n_centres = costs_nC.shape
    prices = start.astype(np.float64)
    unit = float(costs_nC.min(axis=1).mean(dtype=np.float64))
    if unit <= 0:  # every point is a centre
        return start
    for temperature in (unit * t for t in _TEMPERATURES):
        for _ in range(_ITERATIONS):
            sizes = _soft_sizes(costs_nC, prices, temperature)
            prices += temperature * np.log(np.maximum(sizes * n_centres / n, 1e-6))
    centred: NDArray[np.float32] = (prices - prices.mean()).astype(np.float32)
    return centred


def _soft_sizes(
    costs_nC: Costs, prices: NDArray[np.float64], temperature: float
) -> NDArray[np.float64]:
    """Points at each centre if each is shared out by a softmax of minus cost and price."""
    sizes = np.zeros(costs_nC.shape[1], dtype=np.float64)
    for first in range(0, len(costs_nC), _CHUNK):
        logits = (costs_nC[first : first + _CHUNK] + prices.astype(np.float32)) / -temperature
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits, out=logits)
        sizes += (shares / shares.sum(axis=1, keepdims=True)).sum(axis=0, dtype=np.float64)
    return sizes


def fill(costs_nC: Costs) -> NDArray[np.int64]:
    """Assign points to centres so that sizes differ by at most one.

    One pass over the points, those first to whom the second cheapest centre would cost most more:
    each gets the cheapest centre that has room.

    Parameters
    ----------
    costs_nC : what each centre costs each point, prices included.

    Returns
    -------
    int64 `[n]`, the centre of each point.
    """
    n, n_centres = costs_nC.shape
    demand = np.bincount(costs_nC.argmin(axis=1), minlength=n_centres)
    room = np.full(n_centres, n // n_centres)
    room[np.argsort(-demand, kind="stable")[: n % n_centres]] += 1
    assigned = np.empty(n, dtype=np.int64)
    closed_C = np.zeros(n_centres, dtype=np.float32)  # infinite where there is no room
    for point in np.argsort(-_regret(costs_nC), kind="stable"):
        centre = int((costs_nC[point] + closed_C).argmin())
        assigned[point] = centre
        room[centre] -= 1
        if not room[centre]:
            closed_C[centre] = np.inf
    return assigned


def _regret(costs_nC: Costs) -> Costs:
    """How much more the second cheapest centre costs each point."""
    if costs_nC.shape[1] == 1:
        return np.zeros(len(costs_nC), dtype=np.float32)
    two = np.partition(costs_nC, 1, axis=1)
    found: Costs = two[:, 1] - two[:, 0]
    return found


def _means(
    points: NDArray[np.float32], assigned: NDArray[np.int64], n_centres: int
) -> NDArray[np.float32]:
    order = np.argsort(assigned, kind="stable")
    starts = np.searchsorted(assigned[order], np.arange(n_centres))
    sums = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64)
    return (sums / np.bincount(assigned, minlength=n_centres)[:, None]).astype(np.float32)

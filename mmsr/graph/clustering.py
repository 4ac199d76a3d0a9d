"""Clusterings: how the vectors of a modality become codes, at one level or several.

Shapes: n items that have the modality, W width of their vectors, C codes of a level, K links.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsr.config import GraphConfig
from mmsr.graph.balanced import balanced_kmeans, squared_distances
from mmsr.graph.reduction import Rows, Vectors, rows_of


@dataclass(frozen=True)
class Level:
    """Codes of one level, and who is near them."""

    nearest: NDArray[np.int64]
    """`[n, K]`, the codes that each item is linked to, nearest first."""
    distances: NDArray[np.floating]
    """`[n]`, how far each item is from its nearest code; smaller is nearer."""
    centres: Vectors
    """`[C, W]`."""


Clustering = Callable[[Vectors, Rows, int, GraphConfig], Iterator[Level]]
"""Takes the vectors, which of them to fit on, the number of codes and the graph config."""


def _level(
    distances_nC: NDArray[np.floating], centres: NDArray[np.floating], config: GraphConfig
) -> Level:
    nearest = np.argsort(distances_nC, axis=1, kind="stable")[:, : config.links_per_item]
    return Level(
        nearest,
        np.take_along_axis(distances_nC, nearest[:, :1], axis=1)[:, 0],
        np.ascontiguousarray(centres, dtype=np.float32),
    )


def kmeans(vectors: Vectors, fitted: Rows, n_codes: int, config: GraphConfig) -> Iterator[Level]:
    """Mini-batch k-means.

    Parameters
    ----------
    vectors, fitted, n_codes, config : see `Clustering`.
    """
    from sklearn.cluster import MiniBatchKMeans

    fit = rows_of(vectors, fitted)
    found = MiniBatchKMeans(n_codes, random_state=config.seed, n_init=3).fit(fit)
    yield _level(found.transform(vectors), found.cluster_centers_, config)


def residual(vectors: Vectors, fitted: Rows, n_codes: int, config: GraphConfig) -> Iterator[Level]:
    """Residual quantisation: k-means at each level, of what the nearest codes so far left over.

    The sum of an item's nearest codes, one of each level, approximates its vector. The first level
    is that of `kmeans`.

    Parameters
    ----------
    vectors, fitted, n_codes, config : see `Clustering`; each level has `n_codes` codes.
    """
    left = vectors
    for _ in range(config.levels):
        for level in kmeans(left, fitted, n_codes, config):
            left = left - level.centres[level.nearest[:, 0]]
            yield level


def balanced(vectors: Vectors, fitted: Rows, n_codes: int, config: GraphConfig) -> Iterator[Level]:
    """Balanced k-means: the numbers of fitted items at the codes differ by at most one.

    The first link of a fitted item goes to the code that it was assigned to. Further links, and
    those of items that are not fitted on, go by squared distance plus the code's price.

    Parameters
    ----------
    vectors, fitted, n_codes, config : see `Clustering`.
    """
    fit = rows_of(vectors, fitted)
    start = next(kmeans(fit, np.ones(len(fit), dtype=np.bool_), n_codes, config)).centres
    assigned, centres, prices = balanced_kmeans(fit, start)
    distances_nC = squared_distances(vectors, centres)
    priced_nC = distances_nC + prices
    priced_nC[np.flatnonzero(fitted), assigned] = -np.inf
    level = _level(priced_nC, centres, config)
    first = np.take_along_axis(distances_nC, level.nearest[:, :1], axis=1)[:, 0]
    yield Level(level.nearest, first, level.centres)


def gmm(vectors: Vectors, fitted: Rows, n_codes: int, config: GraphConfig) -> Iterator[Level]:
    """Gaussian mixture with diagonal covariances; codes are nearest by joint density.

    Parameters
    ----------
    vectors, fitted, n_codes, config : see `Clustering`.
    """
    from sklearn.mixture import GaussianMixture

    # float64 and a floor on the variances keep near-duplicate features from breaking the fit.
    x = vectors.astype(np.float64)
    mixture = GaussianMixture(
        n_codes, covariance_type="diag", random_state=config.seed, max_iter=50, reg_covar=1e-4
    ).fit(x if fitted.all() else x[fitted])
    # In wide spaces, posteriors saturate at 0 and 1 and tie; joint log-densities keep the order.
    means, precisions = mixture.means_, 1 / mixture.covariances_
    log_density = (
        x @ (means * precisions).T
        - 0.5 * (x**2 @ precisions.T)
        - 0.5 * (means**2 * precisions - np.log(precisions)).sum(axis=1)
        + np.log(mixture.weights_)
    )
    yield _level(-log_density, means, config)


CLUSTERINGS: dict[str, Clustering] = {
    "kmeans": kmeans,
    "gmm": gmm,
    "balanced": balanced,
    "residual": residual,
}

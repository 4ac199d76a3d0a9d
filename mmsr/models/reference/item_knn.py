"""Item-kNN: items that the same users interacted with are similar."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, hstack

from mmsr.data.splits import Prefixes
from mmsr.models.reference.base import ItemToItem
from mmsr.models.reference.interactions import users_items
from mmsr.models.reference.settings import ItemKnnSettings

BLOCK_ENTRIES = 2**23
"""Most similarities held at a time before each item's nearest are chosen."""


class ItemKnn(ItemToItem):
    """Item-kNN with cosine similarities and shrinkage (Ferrari Dacrema et al., 2019).

    With the columns r of the binary user × item matrix, items i and j have the similarity

        s_ij = r_i · r_j / (‖r_i‖ ‖r_j‖ + h)

    and the score of i is the sum of s_ij over those items j of the history that are among the k
    items most similar to i. Where similarities tie, lower item indices come first.
    """

    @classmethod
    def fit(cls, prefixes: Prefixes, n_items: int, settings: ItemKnnSettings | None = None) -> Self:
        """Compute the similarities.

        Parameters
        ----------
        prefixes : of the part of the data to learn from.
        n_items : size of the catalogue.
        settings : k and h; by default those of the reference lines.
        """
        settings = settings or ItemKnnSettings()
        seen_UI = users_items(prefixes, n_items)
        norms_I = np.sqrt(seen_UI.sum(axis=0))
        columns, transposed = seen_UI.tocsc(), seen_UI.T.tocsr()
        nearest = []
        for first, last in _blocks(seen_UI):
            common = csc_array(transposed @ columns[:, first:last])
            item_n, scored_n = common.indices, _columns(common)
            scale = norms_I[item_n] * norms_I[first + scored_n] + settings.shrinkage
            common.data /= scale
            common.data[item_n == first + scored_n] = 0
            nearest.append(_nearest(common, settings.neighbours))
        return cls(csr_array(hstack(nearest, format="csr")))


def _blocks(seen_UI: csr_array) -> Iterator[tuple[int, int]]:
    """Ranges of items whose similarities to all items are few enough to be held at a time."""
    n_items = seen_UI.shape[1]
    lengths_U = seen_UI.sum(axis=1).astype(np.float64)
    most_I = np.minimum(seen_UI.T @ lengths_U, n_items)  # an item has at most as many neighbours
    block_I = most_I.cumsum() // BLOCK_ENTRIES
    bounds = [0, *(np.flatnonzero(np.diff(block_I)) + 1).tolist(), n_items]
    return pairwise(bounds)


def _columns(matrix: csc_array) -> NDArray[np.int64]:
    """The column of each stored entry."""
    return np.repeat(np.arange(matrix.shape[1]), np.diff(matrix.indptr))


def _nearest(similar: csc_array, neighbours: int) -> csc_array:
    """Keep the largest positive entries of each column, at most `neighbours` of them."""
    columns = _columns(similar)
    order = np.lexsort((similar.indices, -similar.data, columns))
    place = np.arange(len(order)) - similar.indptr[columns]  # columns stay where they are
    kept = order[(place < neighbours) & (similar.data[order] > 0)]
    return csc_array(
        (similar.data[kept], (similar.indices[kept], columns[kept])), shape=similar.shape
    )

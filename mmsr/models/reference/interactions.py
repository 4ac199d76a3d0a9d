"""Interactions and histories as sparse matrices.

Legend: U users, I items, B histories of a batch, L the longest of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from mmsr.data.splits import Prefixes


def interaction_counts(prefixes: Prefixes, n_items: int) -> csr_array:
    """How often each user interacted with each item, as far as prefixes show it.

    Targets count, and so do the histories before them. A user without a prefix has no row.

    Parameters
    ----------
    prefixes : of the part of the data to learn from, in any order.
    n_items : size of the catalogue, I.

    Returns
    -------
    float32 `[U, I]`.
    """
    starts, user = np.unique(prefixes.starts, return_inverse=True)
    ends = starts.copy()
    np.maximum.at(ends, user, prefixes.targets + 1)
    offsets = np.concatenate(([0], (ends - starts).cumsum()))
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], ends - starts)
    items = prefixes.items[np.repeat(starts, ends - starts) + within]
    return _counted(items, offsets, n_items)


def users_items(prefixes: Prefixes, n_items: int) -> csr_array:
    """Which users interacted with which items: 1 where they did.

    Parameters
    ----------
    prefixes, n_items : as in `interaction_counts`.

    Returns
    -------
    float32 `[U, I]`.
    """
    return _ones(interaction_counts(prefixes, n_items))


def multi_hot(histories_BL: NDArray[np.int64], n_items: int) -> csr_array:
    """Which items histories hold: 1 where they do, however often.

    Parameters
    ----------
    histories_BL : int64 `[B, L]`, padded with -1 on any side.
    n_items : size of the catalogue, I.

    Returns
    -------
    float32 `[B, I]`.
    """
    real_BL = histories_BL >= 0
    offsets = np.concatenate(([0], real_BL.sum(axis=1).cumsum()))
    return _ones(_counted(histories_BL[real_BL], offsets, n_items))


def _counted(items: NDArray[np.integer], offsets: NDArray[np.int64], n_items: int) -> csr_array:
    """Lists of items, one after the other, as a matrix of counts with a row for each list."""
    ones = np.ones(len(items), dtype=np.float32)
    matrix = csr_array((ones, items, offsets), shape=(len(offsets) - 1, n_items))
    matrix.sum_duplicates()
    return matrix


def _ones(matrix: csr_array) -> csr_array:
    matrix.data[:] = 1
    return matrix

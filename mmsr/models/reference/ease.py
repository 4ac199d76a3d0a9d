"""EASE: a linear autoencoder of users' items, in closed form."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from mmsr.data.splits import Prefixes
from mmsr.models.reference.base import ItemToItem
from mmsr.models.reference.interactions import users_items
from mmsr.models.reference.settings import EaseSettings

_BLOCK = 1024


class Ease(ItemToItem):
    """EASE (Steck, 2019).

    The weights B minimise ‖X - XB‖² + λ‖B‖² with a zero diagonal, X being the binary user × item
    matrix. With P = (XᵀX + λI)⁻¹ they are B_ij = -P_ij / P_jj off the diagonal.
    """

    @classmethod
    def fit(cls, prefixes: Prefixes, n_items: int, settings: EaseSettings | None = None) -> Self:
        """Compute the weights, in float32 and in place.

        Parameters
        ----------
        prefixes : of the part of the data to learn from.
        n_items : size of the catalogue; see `memory_needed`.
        settings : λ; by default that of the reference line.

        Raises
        ------
        FloatingPointError : XᵀX + λI is not positive definite in float32.
        """
        settings = settings or EaseSettings()
        seen_UI = users_items(prefixes, n_items)
        gram_II: NDArray[np.float32] = (seen_UI.T @ seen_UI).toarray()
        gram_II.flat[:: n_items + 1] += settings.l2
        weights_II = invert(gram_II)
        weights_II /= -weights_II.diagonal()  # a new axis in front: column j is divided by P_jj
        np.fill_diagonal(weights_II, 0)
        return cls(weights_II)


def memory_needed(n_items: int) -> int:
    """Bytes that `Ease.fit` takes at most: XᵀX as a sparse matrix without zeros, and a dense one.

    Parameters
    ----------
    n_items : size of the catalogue.
    """
    return 3 * 4 * n_items**2


def invert(matrix_II: NDArray[np.float32]) -> NDArray[np.float32]:
    """Invert a symmetric, positive definite matrix by its Cholesky factor.

    Parameters
    ----------
    matrix_II : float32 `[I, I]`; it is overwritten.

    Returns
    -------
    float32 `[I, I]`, in the memory of `matrix_II`.

    Raises
    ------
    FloatingPointError : it is not positive definite.
    """
    # LAPACK reads by columns: to it, the upper triangle here is the lower one.
    factor, failed = lapack.spotrf(matrix_II.T, lower=1, overwrite_a=1)
    if not failed:
        inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise FloatingPointError("a matrix to invert is not positive definite")
    inverse_II: NDArray[np.float32] = inverse.T
    for first in range(0, len(inverse_II), _BLOCK):  # mirror the triangle without a second matrix
        last = first + _BLOCK
        square = inverse_II[first:last, first:last]
        square[:] = np.triu(square) + np.triu(square, 1).T
        inverse_II[last:, first:last] = inverse_II[first:last, last:].T
    return inverse_II

"""How long the feature vectors of a modality are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def root_mean_square_length(vectors: NDArray[np.float32]) -> float:
    """Root of the mean squared Euclidean length of vectors; 1 where that is 0.

    Parameters
    ----------
    vectors : `[n, F]`.
    """
    squares = np.einsum("nf,nf->n", vectors, vectors)
    mean = float(squares.mean(dtype=np.float64)) if len(squares) else 0.0
    return mean**0.5 or 1.0

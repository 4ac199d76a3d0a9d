"""Text without vectors: TF-IDF and truncated SVD, also known as latent semantic analysis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmsr.data.encoders.base import EncoderOptions, Modality, refuse_argument
from mmsr.errors import UserError

_MAX_TERMS = 20_000
_ZERO = 1e-6
"""Lengths and differences below this are rounding."""


class TfIdf:
    """Encodes the texts of all items together, as vectors of unit length.

    Terms are lower-cased words of two letters or more with logarithmic counts. Terms of only one
    item are left out (unless the others do not distinguish items), and so are all but the 20,000
    most frequent. A text without any remaining term gets no vector. The work is done in one thread,
    so that the result does not depend on the number of cores.

    Parameters
    ----------
    options : `width` is the most dimensions, fewer where the vocabulary or the number of items is
        smaller; `seed` that of the randomised decomposition.
    """

    modality: Modality = "text"
    version: str = "tf-idf + svd"
    batch_size: int | None = None

    def __init__(self, options: EncoderOptions) -> None:
        refuse_argument(options, "tfidf")
        self._width, self._seed = options.width, options.seed

    def encode(self, batch: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of all texts; a row of zeros where no term remains.

        Parameters
        ----------
        batch : the texts.

        Raises
        ------
        UserError : the texts hold no words, or do not distinguish items.
        """
        for min_items in (2, 1):
            vectors = _latent(list(batch), self._width, self._seed, min_items)
            norms = np.linalg.norm(vectors, axis=1)
            known = norms > _ZERO
            unit = np.ascontiguousarray(vectors[known] / norms[known, None], dtype=np.float32)
            if len(unit) > 1 and np.ptp(unit, axis=0).max() > _ZERO:
                rows = np.zeros_like(vectors)
                rows[known] = unit
                return rows
        raise UserError(
            "the items' texts have no words that tell them apart: choose other columns by "
            "--text-from, or use --no-text"
        )


def _latent(documents: list[str], width: int, seed: int, min_items: int) -> NDArray[np.float32]:
    """Vectors of the documents, float32 [n_documents, at most width]; zeros where none is known."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from threadpoolctl import threadpool_limits

    encoder = TfidfVectorizer(
        sublinear_tf=True, min_df=min_items, max_features=_MAX_TERMS, dtype=np.float32
    )
    try:
        weights = encoder.fit_transform(documents)
    except ValueError:  # an empty vocabulary, or fewer documents than min_items
        return np.zeros((len(documents), 1), dtype=np.float32)
    rank = min(width, *(size - 1 for size in weights.shape))
    if rank < 2:
        return np.asarray(weights.toarray(), dtype=np.float32)[:, :width]
    # Identical documents cause a division by zero in a ratio that is not used here.
    with threadpool_limits(1), np.errstate(invalid="ignore", divide="ignore"):
        vectors = TruncatedSVD(rank, random_state=seed).fit_transform(weights)
    return np.asarray(vectors, dtype=np.float32)

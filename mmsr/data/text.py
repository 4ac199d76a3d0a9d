"""Text without vectors: TF-IDF and truncated SVD, also known as latent semantic analysis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmsr.data.dataset import FeatureTable
from mmsr.errors import UserError

SOURCE = "tf-idf + svd"
_MAX_TERMS = 20_000


def encode_texts(texts: Sequence[str | None], width: int, seed: int) -> FeatureTable:
    """Encode the texts of items as vectors of unit length.

    Terms are lower-cased words of two letters or more with logarithmic counts; those of one item
    only are left out (unless there are no others), and so are all but the 20,000 most frequent.
    Items without text, or without any known term, have no vector. One thread does the work, so
    that the result does not depend on the number of cores.

    Parameters
    ----------
    texts : text by item index; None where there is none.
    width : most dimensions; fewer where the vocabulary or the number of items is smaller.
    seed : seed of the randomised decomposition.

    Raises
    ------
    UserError : the texts hold no words, or all items have the same.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from threadpoolctl import threadpool_limits

    items = np.array([item for item, text in enumerate(texts) if text], dtype=np.int64)
    documents = [text for text in texts if text]
    counts = None
    for least in (2, 1):
        encoder = TfidfVectorizer(
            sublinear_tf=True, min_df=least, max_features=_MAX_TERMS, dtype=np.float32
        )
        try:
            counts = encoder.fit_transform(documents)
        except ValueError:  # an empty vocabulary has no error of its own
            continue
        break
    if counts is None:
        raise UserError(
            "the text columns hold no words: choose others by --text-from, or --no-text"
        )
    with threadpool_limits(1):
        rank = min(width, *(size - 1 for size in counts.shape))
        if rank >= 2:
            decomposition = TruncatedSVD(rank, random_state=seed)
            vectors = decomposition.fit_transform(counts).astype(np.float32)
        else:
            vectors = counts.toarray()
    norms = np.linalg.norm(vectors, axis=1)
    known = norms > 1e-6
    return FeatureTable(items[known], _unit(vectors[known], norms[known]))


def _unit(vectors: NDArray[np.float32], norms: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(vectors / norms[:, None], dtype=np.float32)

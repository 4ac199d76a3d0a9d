"""The order in which training examples are seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def bucketed_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int32]]:
    """Cut all examples into batches of similar length, in random order.

    Examples of equal length are shuffled among each other, then the batches as a whole, so every
    epoch sees other batches though hardly any padding is computed.

    Returns
    -------
    Index arrays of `batch_size` examples (one may be shorter) that hold each example once.
    """
    order = np.lexsort((rng.random(len(lengths)), lengths)).astype(np.int32)
    batches = np.split(order, range(batch_size, len(order), batch_size))
    return [batches[i] for i in rng.permutation(len(batches))]

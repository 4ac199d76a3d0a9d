"""The order in which training examples are seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def bucketed_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int32]]:
    """Cut all examples into batches of similar length, in random order.

    Examples of equal length are shuffled, and then the batches are. So every epoch sees different
    batches, and hardly any padding is computed.

    Parameters
    ----------
    lengths : int64 `[n]`, history length of each example.
    batch_size : examples per batch.
    rng : random generator of both shuffles.

    Returns
    -------
    Arrays of example indices, int32 `[batch_size]` each (one may be shorter), that hold each
    example once.
    """
    order = np.lexsort((rng.random(len(lengths)), lengths)).astype(np.int32)
    batches = np.split(order, range(batch_size, len(order), batch_size))
    return [batches[i] for i in rng.permutation(len(batches))]

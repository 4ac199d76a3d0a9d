"""Evaluation of a model on prefixes: the full ranking, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from mmsr.data import Prefixes
from mmsr.evaluation.metrics import exclude_seen, ranks_of
from mmsr.models.base import SequentialRecommender

CHUNK_PREFIXES = 512
CHUNK_SCORES = 2**26
"""Most scores held at a time; counting ranks takes as much memory again. That is 512 prefixes with
131,072 items; with a larger catalogue, fewer prefixes are ranked at a time."""


def evaluate(
    model: SequentialRecommender,
    prefixes: Prefixes,
    *,
    max_history: int,
    batch_size: int = CHUNK_PREFIXES,
    mask_seen: bool = False,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.int64]:
    """Rank every prefix's target among all items.

    Histories of similar length are ranked together, so little padding is computed. A chunk holds at
    most `batch_size` prefixes and at most `CHUNK_SCORES` scores.

    Parameters
    ----------
    model : in any mode; it is put in evaluation mode and back.
    prefixes : the n examples to rank.
    max_history : latest items of each history that the model sees.
    batch_size : most prefixes per chunk.
    mask_seen : leave the items of the whole history out of the ranking (a target always stays in).
    progress : called with the number of prefixes of every finished chunk.

    Returns
    -------
    int64 `[n]`, rank of each target in the order of `prefixes`, 1 is best; ties count against the
    model.

    Raises
    ------
    FloatingPointError : a target's score is NaN.
    """
    order = np.argsort(prefixes.lengths(max_history), kind="stable")
    ranks = np.empty(len(prefixes), dtype=np.int64)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            items_ID = model.item_vectors()
            batch_size = max(min(batch_size, CHUNK_SCORES // len(items_ID)), 1)
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                histories, targets = (
                    torch.from_numpy(array).to(items_ID.device)
                    for array in prefixes.batch(rows, max_history)
                )
                scores_BI = model.user_vectors(histories) @ items_ID.T
                if mask_seen:
                    rows_S, items_S = (
                        torch.from_numpy(array).to(items_ID.device) for array in prefixes.seen(rows)
                    )
                    exclude_seen(scores_BI, rows_S, items_S, targets)
                ranks[rows] = ranks_of(scores_BI, targets)
                if progress:
                    progress(len(rows))
    finally:
        model.train(was_training)
    return ranks

"""Evaluation on prefixes: the full ranking, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr.config import Seen
from mmsr.data import Prefixes
from mmsr.evaluation.metrics import exclude_seen, ranks_of
from mmsr.models.base import CollaborativeRecommender, Recommender

CHUNK_PREFIXES = 512
CHUNK_SCORES = 2**26
"""Most scores held at a time; counting ranks takes as much memory again. That is 512 prefixes with
131,072 items; with a larger catalogue, fewer prefixes are ranked at a time."""


def evaluate(
    model: Recommender,
    prefixes: Prefixes,
    *,
    max_history: int,
    batch_size: int = CHUNK_PREFIXES,
    seen: Seen = "kept",
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.int64]:
    """Rank every prefix's target among all items by the scores of a model.

    Parameters
    ----------
    model : in any mode; it is put in evaluation mode and back.
    prefixes, max_history, batch_size, seen, progress : as in `rank_targets`.

    Returns
    -------
    int64 `[n]`, rank of each target in the order of `prefixes`, 1 is best; ties count against the
    model.

    Raises
    ------
    FloatingPointError : a target's score is NaN.
    """
    was_training = model.training
    model.eval()
    try:
        by_user = isinstance(model, CollaborativeRecommender)
        with torch.inference_mode(), model.prepared():
            items_ID = model.item_vectors()

            def scores_of(histories_BL: Tensor, users_B: Tensor) -> Tensor:
                return model.user_vectors(users_B if by_user else histories_BL) @ items_ID.T

            return rank_targets(
                scores_of,
                prefixes,
                len(items_ID),
                device=items_ID.device,
                max_history=max_history,
                batch_size=batch_size,
                seen=seen,
                progress=progress,
            )
    finally:
        model.train(was_training)


def rank_targets(
    scores_of: Callable[[Tensor, Tensor], Tensor],
    prefixes: Prefixes,
    n_items: int,
    *,
    device: torch.device | str = "cpu",
    max_history: int,
    batch_size: int = CHUNK_PREFIXES,
    seen: Seen = "kept",
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.int64]:
    """Rank every prefix's target among all items.

    Histories of similar length are ranked together, so little padding is computed. A chunk holds at
    most `batch_size` prefixes and at most `CHUNK_SCORES` scores.

    Parameters
    ----------
    scores_of : takes histories, int64 `[B, L]`, oldest first, -1 behind the end, and users, int64
        `[B]`; returns new scores `[B, I]`, which are changed here.
    prefixes : the n examples to rank.
    n_items : size of the catalogue, I.
    device : where histories are scored.
    max_history : latest items of each history to score by.
    batch_size : most prefixes per chunk.
    seen : whether items of the history stay in the ranking (`training.seen`); a target always does.
    progress : called with the number of prefixes of every finished chunk.

    Returns
    -------
    int64 `[n]`, as in `evaluate`.

    Raises
    ------
    FloatingPointError : a target's score is NaN.
    """
    order = np.argsort(prefixes.lengths(max_history), kind="stable")
    ranks = np.empty(len(prefixes), dtype=np.int64)
    batch_size = max(min(batch_size, CHUNK_SCORES // n_items), 1)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        histories, targets = (
            torch.from_numpy(array).to(device) for array in prefixes.batch(rows, max_history)
        )
        users = torch.from_numpy(prefixes.users[rows].astype(np.int64)).to(device)
        scores_BI = scores_of(histories, users)
        if seen != "kept":
            latest = max_history if seen == "read_masked" else None
            rows_S, items_S = (
                torch.from_numpy(array).to(device) for array in prefixes.seen(rows, latest)
            )
            exclude_seen(scores_BI, rows_S, items_S, targets)
        ranks[rows] = ranks_of(scores_BI, targets)
        if progress:
            progress(len(rows))
    return ranks

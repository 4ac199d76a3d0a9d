"""Evaluation on prefixes: the full ranking, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Scorer:
    """Scores all items for histories or users by a model; `scoring` makes it."""

    model: Recommender
    items_ID: Tensor
    """Vectors of all items, `[I, D]`."""

    @property
    def device(self) -> torch.device:
        """Where histories are scored."""
        return self.items_ID.device

    def user_vectors(self, histories_BL: Tensor, users_B: Tensor) -> Tensor:
        """User vectors `[B, D]`: of users for models that know them, of histories for all others.

        Parameters
        ----------
        histories_BL : int64 `[B, L]` item indices, oldest first, -1 behind the end.
        users_B : int64 `[B]`, indices of users.
        """
        by_user = isinstance(self.model, CollaborativeRecommender)
        return self.model.user_vectors(users_B if by_user else histories_BL)

    def scores(self, histories_BL: Tensor, users_B: Tensor) -> Tensor:
        """Scores of all items, a new tensor `[B, I]`; for the parameters see `user_vectors`."""
        return self.user_vectors(histories_BL, users_B) @ self.items_ID.T


@contextmanager
def scoring(model: Recommender) -> Iterator[Scorer]:
    """Context in which a model scores: without dropout and gradients, item vectors computed once.

    Parameters
    ----------
    model : in any mode; it is put in evaluation mode and back.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), model.prepared():
            yield Scorer(model, model.item_vectors())
    finally:
        model.train(was_training)


def chunks(
    lengths: NDArray[np.int64], n_items: int, batch_size: int = CHUNK_PREFIXES
) -> Iterator[NDArray[np.int64]]:
    """Cut histories into chunks of similar length, so that little padding is computed.

    Parameters
    ----------
    lengths : int64 `[n]`, length of each history.
    n_items : size of the catalogue; a chunk has at most `CHUNK_SCORES` scores.
    batch_size : most histories in a chunk.

    Returns
    -------
    Indices of the histories, int64 `[B]`, chunk by chunk, shortest first.
    """
    order = np.argsort(lengths, kind="stable")
    size = max(min(batch_size, CHUNK_SCORES // n_items), 1)
    return (order[start : start + size] for start in range(0, len(order), size))


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
    with scoring(model) as scorer:
        return rank_targets(
            scorer.scores,
            prefixes,
            len(scorer.items_ID),
            device=scorer.device,
            max_history=max_history,
            batch_size=batch_size,
            seen=seen,
            progress=progress,
        )


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
    ranks = np.empty(len(prefixes), dtype=np.int64)
    for rows in chunks(prefixes.lengths(max_history), n_items, batch_size):
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

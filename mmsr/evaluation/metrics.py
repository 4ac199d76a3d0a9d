"""Ranking metrics with exactly one relevant item per user: HR, MRR and NDCG.

Two steps: `ranks_of` turns a chunk of scores into ranks, `ranking_metrics` averages the ranks of
all chunks; no full user × item matrix is ever needed. Always the full ranking, never sampled
negatives.

Legend: B prefixes of a chunk, I items, L longest history of the chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsr.config import TOP_K
from mmsr.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from mmsr.data import Dataset, Prefixes


def ranks_of(scores_BI: Tensor, targets_B: Tensor) -> NDArray[np.int64]:
    """Rank of each target among all items; ties count against the model.

    The rank is the number of items that do not score below the target, itself included. So a model
    that gives every item the same score gets the last rank, not the first, and a NaN elsewhere in
    the row can only worsen the rank.

    Parameters
    ----------
    scores_BI : float tensor [B, I], higher is better. Items excluded from the ranking hold -inf.
    targets_B : integer tensor [B], index of the target item.

    Returns
    -------
    int64 array [B], 1 is best, I is worst.

    Raises
    ------
    FloatingPointError : a target's score is NaN and has no rank: the model has diverged.

    Examples
    --------
    Item 3 scores highest, items 0 and 2 tie: as a target, each of them counts the other as better.

    >>> import torch
    >>> scores = torch.tensor([[0.5, 0.1, 0.5, 0.9]])
    >>> [ranks_of(scores, torch.tensor([target])).item() for target in range(4)]
    [3, 4, 3, 1]
    """
    import torch

    target_scores_B1 = scores_BI.gather(1, targets_B.long().unsqueeze(1))
    if target_scores_B1.isnan().any():
        raise FloatingPointError("a target's score is NaN: the model has diverged")
    # Summed as int32: several times faster on CPU than the default int64.
    below_B = (scores_BI < target_scores_B1).sum(dim=1, dtype=torch.int32)
    ranks: NDArray[np.int64] = (scores_BI.shape[1] - below_B.long()).cpu().numpy()
    return ranks


def exclude_seen(scores_BI: Tensor, rows_S: Tensor, items_S: Tensor, targets_B: Tensor) -> Tensor:
    """Take items that were seen out of the ranking, in place; a target always stays in.

    Parameters
    ----------
    scores_BI : float tensor [B, I], changed in place: seen items get -inf.
    rows_S, items_S : int64 tensors, for each item that was seen its row and its column.
    targets_B : integer tensor [B]; a target that was seen before (a repeat) keeps its score.

    Returns
    -------
    `scores_BI`.
    """
    targets_B1 = targets_B.long().unsqueeze(1)
    target_scores_B1 = scores_BI.gather(1, targets_B1)
    scores_BI[rows_S, items_S] = float("-inf")
    return scores_BI.scatter_(1, targets_B1, target_scores_B1)


def ranking_metrics(ranks: NDArray[np.int64], top_k: Sequence[int] = TOP_K) -> dict[str, float]:
    """Mean HR, MRR and NDCG at each cutoff.

    With one relevant item at rank r: HR@k is 1 where r ≤ k, MRR@k is 1 / r where r ≤ k, NDCG@k is
    1 / log2(r + 1) where r ≤ k; otherwise 0.

    Parameters
    ----------
    ranks : int64 array [n], ranks of the targets, 1 is best.
    top_k : the cutoffs.

    Returns
    -------
    ``{"hr@5": …, "mrr@5": …, "ndcg@5": …, "hr@10": …}``, each in [0, 1].

    Raises
    ------
    UserError : there are no ranks.
    ValueError : a rank or a cutoff is below 1.

    Examples
    --------
    Of two targets one is ranked first, the other fourth:

    >>> for name, value in ranking_metrics(np.array([1, 4]), top_k=[3, 5]).items():
    ...     print(name, round(value, 4))
    hr@3 0.5
    mrr@3 0.5
    ndcg@3 0.5
    hr@5 1.0
    mrr@5 0.625
    ndcg@5 0.7153
    """
    if ranks.size == 0:
        raise UserError(
            "no target to evaluate on: these histories are too short for the data set's protocol; "
            "prepare the data set with another protocol, e.g. leave-one-out"
        )
    return {name: float(values.mean()) for name, values in contributions(ranks, top_k).items()}


def ranked_apart(ranks: NDArray[np.int64], targets: Prefixes, dataset: Dataset) -> dict[str, float]:
    """The metrics of `by_novelty`, for data whose protocol has targets of both kinds.

    Parameters
    ----------
    ranks : int64 array [n], ranks of the targets, 1 is best.
    targets : the n targets, of validation or of test.
    dataset : where they come from.
    """
    if dataset.protocol != "temporal":
        return {}
    return by_novelty(ranks, ~dataset.in_training[targets.target_items()])


def by_novelty(ranks: NDArray[np.int64], is_cold: NDArray[np.bool_]) -> dict[str, float]:
    """The ranking metrics of warm and of cold targets, each apart.

    Parameters
    ----------
    ranks : int64 array [n], ranks of the targets, 1 is best.
    is_cold : bool array [n], whether the target is an item without training interactions.

    Returns
    -------
    ``{"warm/hr@5": …, "cold/hr@5": …}``; nothing unless there are targets of both kinds.
    """
    parts = {"warm": ranks[~is_cold], "cold": ranks[is_cold]}
    if not all(part.size for part in parts.values()):
        return {}
    return {
        f"{kind}/{name}": value
        for kind, part in parts.items()
        for name, value in ranking_metrics(part).items()
    }


def contributions(
    ranks: NDArray[np.int64], top_k: Sequence[int] = TOP_K
) -> dict[str, NDArray[np.float64]]:
    """What each target adds to HR, MRR and NDCG, before the mean is taken.

    Parameters
    ----------
    ranks : int64 array [n], ranks of the targets, 1 is best.
    top_k : the cutoffs.

    Returns
    -------
    ``{"hr@5": …, "mrr@5": …, "ndcg@5": …, "hr@10": …}``, float64 arrays [n] in [0, 1].

    Raises
    ------
    ValueError : a rank or a cutoff is below 1.
    """
    if ranks.min(initial=1) < 1 or min(top_k) < 1:
        raise ValueError(f"ranks and cutoffs start at 1, got {ranks.min()} and {tuple(top_k)}")
    reciprocal = 1.0 / ranks
    discount = 1.0 / np.log2(ranks + 1.0)
    found: dict[str, NDArray[np.float64]] = {}
    for k in top_k:
        hit = (ranks <= k).astype(np.float64)
        found[f"hr@{k}"] = hit
        found[f"mrr@{k}"] = reciprocal * hit
        found[f"ndcg@{k}"] = discount * hit
    return found

"""Shortest paths in many small graphs, by batched products of 0/1 matrices."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def shortest_paths(related_BNN: Tensor, limit: int, rows_BR: Tensor | None = None) -> Tensor:
    """Steps from nodes to all others, up to a limit.

    Parameters
    ----------
    related_BNN : 0/1 floats, 1 where one step leads from the row to the column node; 1 on the
        diagonal.
    limit : longest distance that is distinguished, at least 1.
    rows_BR : the nodes to start from; None stands for all.

    Returns
    -------
    uint8 `[B, R, N]`: the number of steps, at most `limit`; `limit + 1` where there is no path.
    """
    if rows_BR is None:
        itself = torch.eye(related_BNN.shape[1], device=related_BNN.device)
        within = related_BNN  # reached in one step; grows by one step at a time below
    else:
        itself = F.one_hot(rows_BR, related_BNN.shape[1]).to(related_BNN.dtype)
        within = _reached(itself, related_BNN)
    distance = 1 - itself
    for _ in range(limit - 1):
        distance = distance + (1 - within)
        within = _reached(within, related_BNN)
    while True:  # beyond the limit, it only matters whether there is a path
        further = _reached(within, within if rows_BR is None else related_BNN)
        if bool((further == within).all()):
            return (distance + (1 - within)).to(torch.uint8)
        within = further


def _reached(from_BRM: Tensor, to_BMN: Tensor) -> Tensor:
    return torch.bmm(from_BRM, to_BMN).clamp_(max=1)

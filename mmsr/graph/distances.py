"""Shortest paths of many small graphs by batched products of 0/1 matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def shortest_paths(related_BNN: Tensor, limit: int) -> Tensor:
    """Steps from every node to every other, up to a limit.

    Parameters
    ----------
    related_BNN : 0/1 floats, 1 where one step leads from the row to the column node; 1 on the
        diagonal.
    limit : longest distance that is told apart, at least 1.

    Returns
    -------
    uint8 `[B, N, N]`: the distance; `limit` where it is that or more; `limit + 1` where no path
    leads there.
    """
    within = related_BNN  # reached in at most so many steps
    steps = 1
    distance = torch.ones_like(related_BNN)
    distance.diagonal(dim1=1, dim2=2).zero_()
    while steps < limit:
        distance = distance + (1 - within)
        within = torch.bmm(within, related_BNN).clamp_(max=1)
        steps += 1
    while steps < related_BNN.shape[1] - 1:  # no path is longer
        within = torch.bmm(within, within).clamp_(max=1)
        steps *= 2
    return (distance + (1 - within)).to(torch.uint8)

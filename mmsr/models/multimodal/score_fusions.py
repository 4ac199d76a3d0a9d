"""Fusions of DIF-SR: attention scores of several sources become one score.

Shapes: B batch, H heads, P sources, L history (queries, then keys), T longest history. Scores for
keys behind their query must be 0 in, and mean nothing out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn


class Sum(nn.Module):
    """Sum of the sources' scores."""

    def __init__(self, n_sources: int, max_history: int) -> None:
        super().__init__()

    def forward(self, scores_BHPLL: Tensor) -> Tensor:
        """From `[B, H, P, L, L]` to `[B, H, L, L]`."""
        return scores_BHPLL.sum(dim=2)


class Concat(nn.Module):
    """A linear map of a query's scores, of all sources and for all keys, side by side.

    Keys that a history lacks have scores of 0, so they need not be there.
    """

    def __init__(self, n_sources: int, max_history: int) -> None:
        super().__init__()
        self.map = nn.Linear(n_sources * max_history, max_history)

    def forward(self, scores_BHPLL: Tensor) -> Tensor:
        """From `[B, H, P, L, L]` to `[B, H, L, L]`."""
        n_sources, length = scores_BHPLL.shape[2], scores_BHPLL.shape[-1]
        max_history = len(self.map.weight)
        weight_TPT = self.map.weight.view(max_history, n_sources, max_history)
        weight = weight_TPT[:length, :, :length].flatten(start_dim=1)
        rows = scores_BHPLL.transpose(2, 3).flatten(start_dim=3)
        return F.linear(rows, weight, self.map.bias[:length])


class Gate(nn.Module):
    """Sum of the sources' scores with weights: softmax over sources of v · relu(U s + b).

    s is a query's row of scores for all keys, of one source. Keys that a history lacks have scores
    of 0, so they need not be there.
    """

    def __init__(self, n_sources: int, max_history: int) -> None:
        super().__init__()
        self.inner = nn.Linear(max_history, max_history)
        self.outer = nn.Linear(max_history, 1, bias=False)

    def forward(self, scores_BHPLL: Tensor) -> Tensor:
        """From `[B, H, P, L, L]` to `[B, H, L, L]`."""
        weight = self.inner.weight[:, : scores_BHPLL.shape[-1]]
        hidden_BHPLT = F.linear(scores_BHPLL, weight, self.inner.bias).relu()
        weights_BHPL1: Tensor = self.outer(hidden_BHPLT).softmax(dim=2)
        return (weights_BHPL1 * scores_BHPLL).sum(dim=2)


FUSIONS: Mapping[str, type[Sum] | type[Concat] | type[Gate]] = {
    "sum": Sum,
    "concat": Concat,
    "gate": Gate,
}

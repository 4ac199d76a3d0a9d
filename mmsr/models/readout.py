"""Readouts: from the nodes of a graph to one user vector.

Shapes: B batch, n nodes of type 0, Q query nodes, L history, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph
from mmsr.model_config import ModelConfig
from mmsr.models.embedding import preserving_, uniform_


class Readout(nn.Module, ABC):
    """Names the nodes it reads, so that the last layer computes no others."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    @abstractmethod
    def queries(self, graph: BatchGraph) -> Tensor:
        """Nodes of type 0 whose vectors `forward` gets, `[B, Q]`; padding may be among them."""

    @abstractmethod
    def forward(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        """User vectors `[B, D]` from the queries' vectors."""


class Last(Readout):
    """The node of the last item (or the mean of that item's codes)."""

    def queries(self, graph: BatchGraph) -> Tensor:
        return graph.last_BK.clamp(min=0)

    def forward(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        return _masked_mean(h_BQD, graph.last_BK >= 0)


class Mean(Readout):
    """The mean of the nodes of type 0."""

    def queries(self, graph: BatchGraph) -> Tensor:
        return _all_of_type_0(graph)

    def forward(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        return _masked_mean(h_BQD, graph.real_BN[:, graph.block(0)])


class Attention(Readout):
    """W [l ; sum_j softmax_j(q · σ(W_l l + W_j h_j + c)) h_j] over the nodes j of type 0.

    l is what `Last` reads. The soft attention of SR-GNN (Wu et al., 2019, eqs. 6 and 7), its
    weights made to sum to one, so that a long history gives no longer vector.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width = config.width
        self.last = nn.Parameter(preserving_(torch.empty(width, width), width))
        self.node = nn.Parameter(preserving_(torch.empty(width, width), width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.query = nn.Parameter(uniform_(torch.empty(width), width))
        self.join = nn.Parameter(preserving_(torch.empty(2 * width, width), 2 * width))

    def queries(self, graph: BatchGraph) -> Tensor:
        return _all_of_type_0(graph)

    def forward(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        nodes_BQ = self.queries(graph)
        is_read_BQ = self.reads(graph).gather(1, nodes_BQ)
        last_BD = _masked_mean(h_BQD, graph.occurrences[0][:, :, 0].gather(1, nodes_BQ) > 0)
        hidden_BQD = torch.sigmoid((last_BD @ self.last)[:, None] + h_BQD @ self.node + self.bias)
        energy_BQ = hidden_BQD @ self.query
        energy_BQ = energy_BQ.masked_fill(~is_read_BQ, torch.finfo(energy_BQ.dtype).min)
        # Masked once more: a graph may have no node (late fusion, items without codes).
        weights_BQ = torch.softmax(energy_BQ, dim=1).masked_fill(~is_read_BQ, 0)
        summed_BD = (weights_BQ[:, None] @ h_BQD)[:, 0]
        return torch.cat((last_BD, summed_BD), dim=1) @ self.join

    def reads(self, graph: BatchGraph) -> Tensor:
        """Whether a node of type 0 is attended to."""
        return graph.real_BN[:, graph.block(0)]


class LastNAttention(Attention):
    """The same over the nodes that occur at the last `last_n` positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.last_n = config.last_n

    def queries(self, graph: BatchGraph) -> Tensor:
        recent_Bn = self.reads(graph)
        n_slots = self.last_n * graph.last_BK.shape[1]
        order_Bn = recent_Bn.byte().argsort(dim=1, descending=True, stable=True)
        return order_Bn[:, :n_slots]

    def reads(self, graph: BatchGraph) -> Tensor:
        return graph.occurrences[0][:, :, : self.last_n].any(dim=2)


def _all_of_type_0(graph: BatchGraph) -> Tensor:
    n = graph.sizes[0]
    return torch.arange(n, device=graph.real_BN.device).expand(len(graph.real_BN), n)


def _masked_mean(h_BQD: Tensor, real_BQ: Tensor) -> Tensor:
    weight = real_BQ.to(h_BQD.dtype)[:, :, None]
    return (h_BQD * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

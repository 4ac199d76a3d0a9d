"""Readouts: from the nodes of a graph to one user vector.

Shapes: B batch, n nodes of type 0, Q query nodes, L history, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from mmsr.config.mmsr import MmsrConfig
from mmsr.graph.batch import BatchGraph
from mmsr.models.mmsr.embedding import preserving_, uniform_


class Readout(nn.Module, ABC):
    """Base class of readouts: it names the nodes it reads, so the last layer computes no others."""

    def __init__(self, config: MmsrConfig) -> None:
        super().__init__()

    @abstractmethod
    def queries(self, graph: BatchGraph) -> Tensor:
        """Choose the nodes of type 0 that the readout needs.

        Parameters
        ----------
        graph : the batch graph.

        Returns
        -------
        int64 `[B, Q]`, node indices; padding may be among them.
        """

    @abstractmethod
    def forward(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        """Turn node vectors into user vectors.

        Parameters
        ----------
        graph : the batch graph.
        h_BQD : vectors of the nodes that `queries` chose.

        Returns
        -------
        `[B, D]`.
        """

    @abstractmethod
    def shares(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        """Share of each of these nodes in the user vector, `[B, Q]`; rows sum to one.

        Parameters
        ----------
        graph, h_BQD : as for `forward`.
        """


class Last(Readout):
    """The node of the last item (or the mean of that item's codes)."""

    def queries(self, graph: BatchGraph) -> Tensor:
        return graph.last_BK.clamp(min=0)

    def forward(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        return _masked_mean(h_BQD, graph.last_BK >= 0)

    def shares(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        return _even(graph.last_BK >= 0)


class Mean(Readout):
    """The mean of all nodes of type 0 (items, unless late fusion leaves them out)."""

    def queries(self, graph: BatchGraph) -> Tensor:
        return _all_of_type_0(graph)

    def forward(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        return _masked_mean(h_BQD, graph.real_BN[:, graph.block(0)])

    def shares(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        return _even(graph.real_BN[:, graph.block(0)])


class Attention(Readout):
    """Soft attention over the nodes of type 0, queried by the last item (Wu et al., 2019).

    W [l ; sum_j softmax_j(q · σ(W_l l + W_j h_j + c)) h_j] over the nodes j of type 0, where l is
    what `Last` reads. This is the readout of SR-GNN (its eqs. 6 and 7), but the weights sum to one,
    so that longer histories do not give longer vectors.
    """

    def __init__(self, config: MmsrConfig) -> None:
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
        last_BD = _masked_mean(h_BQD, self._is_last(graph))
        summed_BD = (self._weights(graph, h_BQD, last_BD)[:, None] @ h_BQD)[:, 0]
        return torch.cat((last_BD, summed_BD), dim=1) @ self.join

    def shares(self, graph: BatchGraph, h_BQD: Tensor) -> Tensor:
        """See `Readout.shares`; the last item and the attended nodes count half each."""
        is_last_BQ = self._is_last(graph)
        weights_BQ = self._weights(graph, h_BQD, _masked_mean(h_BQD, is_last_BQ))
        return (_even(is_last_BQ) + weights_BQ) / 2

    def reads(self, graph: BatchGraph) -> Tensor:
        """Whether each node of type 0 of `graph` is attended to, bool `[B, n]`."""
        return graph.real_BN[:, graph.block(0)]

    def _is_last(self, graph: BatchGraph) -> Tensor:
        """Whether each query node occurs at the history's last position, bool `[B, Q]`."""
        return graph.occurrences[0][:, :, 0].gather(1, self.queries(graph)) > 0

    def _weights(self, graph: BatchGraph, h_BQD: Tensor, last_BD: Tensor) -> Tensor:
        """The soft attention's weights of the query nodes, `[B, Q]`."""
        is_read_BQ = self.reads(graph).gather(1, self.queries(graph))
        hidden_BQD = torch.sigmoid((last_BD @ self.last)[:, None] + h_BQD @ self.node + self.bias)
        energy_BQ = hidden_BQD @ self.query
        energy_BQ = energy_BQ.masked_fill(~is_read_BQ, torch.finfo(energy_BQ.dtype).min)
        # Mask again: a graph may have no node at all (late fusion, items without codes).
        return torch.softmax(energy_BQ, dim=1).masked_fill(~is_read_BQ, 0)


class LastNAttention(Attention):
    """`attention` over only the nodes that occur at the last `last_n` positions."""

    def __init__(self, config: MmsrConfig) -> None:
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
    return torch.arange(n, device=graph.real_BN.device).expand(graph.real_BN.shape[0], n)


def _even(real_BQ: Tensor) -> Tensor:
    """The weights of `_masked_mean`."""
    weight = real_BQ.float()
    return weight / weight.sum(dim=1, keepdim=True).clamp(min=1)


def _masked_mean(h_BQD: Tensor, real_BQ: Tensor) -> Tensor:
    weight = real_BQ.to(h_BQD.dtype)[:, :, None]
    return (h_BQD * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

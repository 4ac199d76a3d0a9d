"""Readouts: from the nodes of a graph to one user vector."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph


class Readout(nn.Module, ABC):
    """Names the nodes it reads, so that the last layer computes no others."""

    def queries(self, graph: BatchGraph) -> Tensor | None:
        """Nodes of type 0 that are read, `[B, Q]`; None for all nodes."""
        return None

    @abstractmethod
    def forward(self, graph: BatchGraph, h: Tensor) -> Tensor:
        """User vectors `[B, D]` from the queries' vectors `[B, Q, D]` (all: `[B, N, D]`)."""


class Last(Readout):
    """The node of the last item (or the mean of that item's codes)."""

    def queries(self, graph: BatchGraph) -> Tensor:
        return graph.last_BK.clamp(min=0)

    def forward(self, graph: BatchGraph, h: Tensor) -> Tensor:
        return _masked_mean(h, graph.last_BK >= 0)


class Mean(Readout):
    """The mean of the nodes of type 0."""

    def forward(self, graph: BatchGraph, h: Tensor) -> Tensor:
        block = graph.block(0)
        return _masked_mean(h[:, block], graph.real_BN[:, block])


def _masked_mean(h_BQD: Tensor, real_BQ: Tensor) -> Tensor:
    weight = real_BQ.to(h_BQD.dtype)[:, :, None]
    return (h_BQD * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

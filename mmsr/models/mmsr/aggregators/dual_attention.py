"""Dual attention: homogeneous and heterogeneous attention over one graph (eqs. 12-17).

Shapes: B batch, N nodes, Q query nodes, D width. `attention_passes` has the two passes,
`attention_orders` the ways to combine them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmsr.config.mmsr import DualAttentionConfig
from mmsr.graph.batch import BatchGraph
from mmsr.models.mmsr.aggregators.attention_orders import ORDERS
from mmsr.models.mmsr.aggregators.attention_passes import (
    AllPasses,
    Blocks,
    ConstantAllPasses,
    ConstantQueryPasses,
    QueryPasses,
)
from mmsr.models.mmsr.aggregators.base import Aggregator
from mmsr.models.mmsr.embedding import preserving_, uniform_
from mmsr.models.products import product


class DualAttention(Aggregator):
    """The paper's HAN-GNN layer (eqs. 12-17) and its ablations, chosen by `config.order`."""

    def __init__(self, config: DualAttentionConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.n_projections = 1 if config.share_qkv else 3
        self.projection = nn.Parameter(
            preserving_(torch.empty(n_types, width, self.n_projections * width), width)
        )
        self.scale = width**-0.5 if config.scaled else 1.0
        self.combine = ORDERS[config.order](width)
        if self.combine.homogeneous:
            self.relation = nn.Parameter(uniform_(torch.empty(4, width), width))
            """a_r of eq. (12) for self, out, in, both."""

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        passes = (
            AllPasses(self, graph) if queries_BQ is None else QueryPasses(self, graph, queries_BQ)
        )
        combined: Tensor = self.combine(passes, *self._projected(graph, h_BND))
        return combined

    def shares(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        """See `Aggregator.shares`; where passes are joined by a map (eq. 15), each counts half.

        With its attention weights and gate as constants, a new vector is Σ_j s_j v_j. So the
        share s_j is the derivative of any of its elements by the same element of v_j.
        """
        passes = (
            ConstantAllPasses(self, graph)
            if queries_BQ is None
            else ConstantQueryPasses(self, graph, queries_BQ)
        )
        query, key, value = self._projected(graph, h_BND)
        with torch.enable_grad(), self.combine.averaging():
            value = tuple(block.detach().requires_grad_() for block in value)
            element_QB = self.combine(passes, query, key, value)[:, :, 0].T
            rows = [
                torch.autograd.grad(
                    element_B.sum(), value, retain_graph=True, materialize_grads=True
                )
                for element_B in element_QB
            ]
        return torch.stack([torch.cat(row, dim=1)[:, :, 0] for row in rows], dim=1)

    def _projected(self, graph: BatchGraph, h_BND: Tensor) -> tuple[Blocks, Blocks, Blocks]:
        """Queries, keys and values of all nodes."""
        projected = [
            product(h, w).chunk(self.n_projections, dim=2)
            for h, w in zip(graph.by_type(h_BND), self.projection, strict=True)
        ]
        parts = [tuple(blocks) for blocks in zip(*projected, strict=True)]
        query, key, value = parts if len(parts) == 3 else parts * 3
        return query, key, value

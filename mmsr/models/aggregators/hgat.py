"""Attention over node types, then over nodes (HGAT).

Shapes: B batch, N nodes, Q query nodes, D width, T node types, X an axis of several vectors.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph, take_rows
from mmsr.graph.relations import NONE
from mmsr.model_config import HgatConfig
from mmsr.models.aggregators.base import Aggregator, attention_weights, rows_of
from mmsr.models.embedding import preserving_, uniform_
from mmsr.models.products import product


class Hgat(Aggregator):
    """h_i' = ReLU(sum_j β_ij x_j), where x_j = W_{t_j} h_j for the type t_j of j.

    The dual-level attention of Linmei Hu et al. (2019), "Heterogeneous Graph Attention Networks for
    Semi-supervised Short Text Classification", section 4.2. N_i are the nodes related to i, itself
    included, and N_i^t those of type t:

    - types: x_i^t = sum_{j in N_i^t} d(i, j) x_j with GCN's d(i, j) = 1/√(deg_i · deg_j), and
      α_i^t = softmax_t(LeakyReLU(μ_t · [x_i ; x_i^t])) over the types that N_i has;
    - nodes: β_ij = softmax_j(LeakyReLU(ν · α_i^{t_j} [x_i ; x_j])) over all of N_i.

    Both levels compare projected vectors, since they must share a space, and the slopes of
    LeakyReLU are knobs; the paper leaves both open. The weights β have dropout, as in `Gat`. Only
    the layer is the paper's: not its number of layers, output and loss. The authors' code departs
    from these equations (nodes before types, and β mixed with d), which is not followed here.

    A score is the sum of a scalar of i and one of j, and α > 0 may be taken out of LeakyReLU. Where
    there is one type alone, α is 1, and there are no μ.
    """

    def __init__(self, config: HgatConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(preserving_(torch.empty(n_types, width, width), width))
        self.own = nn.Parameter(uniform_(torch.empty(width), width))
        """First half of ν."""
        self.other = nn.Parameter(uniform_(torch.empty(width), width))
        """Second half of ν."""
        if n_types > 1:
            self.type_own = nn.Parameter(uniform_(torch.empty(n_types, width), width))
            """First half of μ_t."""
            self.type_other = nn.Parameter(uniform_(torch.empty(n_types, width), width))
            """Second half of μ_t."""

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        blocks = graph.by_type(h_BND)
        related_BQN = graph.relations_of(queries_BQ) > NONE
        own = self.own[:, None].expand(len(blocks), -1, -1)
        other = self.other[:, None].expand(len(blocks), -1, -1)
        own_BQ1, other_BN1 = self._scalars(blocks, own, queries_BQ), self._scalars(blocks, other)
        scores_BQN = F.leaky_relu(own_BQ1 + other_BN1.mT, self.config.negative_slope)
        if len(blocks) > 1:
            alpha_BQT = self._type_weights(graph, blocks, related_BQN, queries_BQ)
            sizes = torch.tensor(graph.sizes, device=alpha_BQT.device)
            scores_BQN = scores_BQN * alpha_BQT.repeat_interleave(sizes, dim=2)
        weights_BQN = attention_weights(
            scores_BQN.masked_fill(~related_BQN, -torch.inf), self.config.dropout, self.training
        )
        if queries_BQ is None:
            values = [product(h, w) for h, w in zip(blocks, self.weight, strict=True)]
            return torch.relu(weights_BQN @ torch.cat(values, dim=1))
        # Summed per type first: few rows are left to project.
        pairs = zip(graph.by_type(weights_BQN, dim=2), blocks, strict=True)
        return torch.relu(torch.cat([w @ h for w, h in pairs], dim=2) @ self.weight.flatten(0, 1))

    def _type_weights(
        self,
        graph: BatchGraph,
        blocks: tuple[Tensor, ...],
        related_BQN: Tensor,
        queries_BQ: Tensor | None,
    ) -> Tensor:
        """α `[B, Q, T]`; 0 for types that a node is not related to."""
        own = self.type_own.T.expand(len(blocks), -1, -1)
        own_BQT = self._scalars(blocks, own, queries_BQ)
        scale_BN1 = (graph.degree_BN + 1).to(own_BQT.dtype).rsqrt()[:, :, None]
        scaled_BN1 = scale_BN1 * self._scalars(blocks, self.type_other[:, :, None])
        of_type = graph.by_type(related_BQN, dim=2)
        pairs = zip(of_type, graph.by_type(scaled_BN1), strict=True)
        sums_BQT = torch.cat([related.to(s.dtype) @ s for related, s in pairs], dim=2)
        other_BQT = rows_of(scale_BN1, queries_BQ) * sums_BQT
        scores_BQT = F.leaky_relu(own_BQT + other_BQT, self.config.type_slope)
        present_BQT = torch.stack([related.any(dim=2) for related in of_type], dim=2)
        return scores_BQT.masked_fill(~present_BQT, -torch.inf).softmax(dim=2)

    def _scalars(
        self, blocks: tuple[Tensor, ...], vectors_TDX: Tensor, queries_BQ: Tensor | None = None
    ) -> Tensor:
        """Products `[B, Q, X]` of projected nodes with vectors of their type."""
        maps_TDX = self.weight @ vectors_TDX
        if queries_BQ is not None:
            return take_rows(blocks[0], queries_BQ) @ maps_TDX[0]
        return torch.cat([h @ m for h, m in zip(blocks, maps_TDX, strict=True)], dim=1)

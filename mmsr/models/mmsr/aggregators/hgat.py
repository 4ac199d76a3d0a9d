"""Attention over node types, then over nodes (HGAT).

Shapes: B batch, N nodes, Q query nodes, D width, T node types.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.config.mmsr import HgatConfig
from mmsr.graph.batch import BatchGraph
from mmsr.graph.relations import NONE
from mmsr.models.mmsr.aggregators.base import Aggregator, attention_weights, rows_of
from mmsr.models.mmsr.aggregators.relational import typed_products, typed_sum
from mmsr.models.mmsr.embedding import preserving_, uniform_


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
        related_BQN = graph.relations_of(queries_BQ) > NONE
        own_BQ1 = typed_products(graph, self.weight @ self.own[:, None], h_BND, queries_BQ)
        other_BN1 = typed_products(graph, self.weight @ self.other[:, None], h_BND, None)
        scores_BQN = F.leaky_relu(own_BQ1 + other_BN1.mT, self.config.negative_slope)
        if len(graph.sizes) > 1:
            alpha_BQT = self._type_weights(graph, h_BND, related_BQN, queries_BQ)
            sizes = torch.tensor(graph.sizes, device=alpha_BQT.device)
            scores_BQN = scores_BQN * alpha_BQT.repeat_interleave(sizes, dim=2)
        weights_BQN = attention_weights(
            scores_BQN.masked_fill(~related_BQN, -torch.inf), self.config.dropout, self.training
        )
        return torch.relu(typed_sum(graph, weights_BQN, self.weight, h_BND, queries_BQ))

    def _type_weights(
        self,
        graph: BatchGraph,
        h_BND: Tensor,
        related_BQN: Tensor,
        queries_BQ: Tensor | None,
    ) -> Tensor:
        """α `[B, Q, T]`; 0 for types that a node is not related to."""
        own_BQT = typed_products(graph, self.weight @ self.type_own.T, h_BND, queries_BQ)
        scale_BN1 = (graph.degree_BN + 1).to(own_BQT.dtype).rsqrt()[:, :, None]
        other_TD1 = self.weight @ self.type_other[:, :, None]
        scaled_BN1 = scale_BN1 * typed_products(graph, other_TD1, h_BND, None)
        of_type = graph.by_type(related_BQN, dim=2)
        pairs = zip(of_type, graph.by_type(scaled_BN1), strict=True)
        sums_BQT = torch.cat([related.to(s.dtype) @ s for related, s in pairs], dim=2)
        other_BQT = rows_of(scale_BN1, queries_BQ) * sums_BQT
        scores_BQT = F.leaky_relu(own_BQT + other_BQT, self.config.type_slope)
        present_BQT = torch.stack([related.any(dim=2) for related in of_type], dim=2)
        return scores_BQT.masked_fill(~present_BQT, -torch.inf).softmax(dim=2)

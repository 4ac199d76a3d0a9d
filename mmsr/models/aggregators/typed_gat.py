"""Graph attention typed by nodes and relations.

Shapes: B batch, N nodes, Q query nodes, D width, T node types, R relations from `SELF` on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph, take_rows
from mmsr.graph.relations import SELF, n_relations
from mmsr.model_config import TypedGatConfig
from mmsr.models.aggregators.base import Aggregator, attention_weights
from mmsr.models.aggregators.relational import relation_scores
from mmsr.models.embedding import preserving_, uniform_
from mmsr.models.products import product


class TypedGat(Aggregator):
    """h_i' = sum_j softmax_j(LeakyReLU(a_r · [W_{t_i} h_i ; W_{t_j} h_j])) W_{t_j} h_j.

    Graph attention (eqs. 9-11) with a projection per node type t and an attention vector per
    relation r from i to j; one softmax over the neighbours of all types, i itself included. With
    one type and the same vector for every relation it is `Gat` with one head. No paper has quite
    this layer; the HGAT of table 3 is `Hgat`.
    """

    def __init__(self, config: TypedGatConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(preserving_(torch.empty(n_types, width, width), width))
        n_real = n_relations(n_types) - SELF
        self.own = nn.Parameter(uniform_(torch.empty(n_real, width), width))
        """First half of a_r by relation id, from `SELF` on."""
        self.other = nn.Parameter(uniform_(torch.empty(n_real, width), width))
        """Second half of a_r."""

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        own_BQR = _parts_of_scores(graph, self.weight @ self.own.T, h_BND, queries_BQ)
        other_BNR = _parts_of_scores(graph, self.weight @ self.other.T, h_BND, None)
        relation_BQN = graph.relations_of(queries_BQ)
        scores_BQN = relation_scores(relation_BQN, own_BQR, other_BNR, self.config.negative_slope)
        weights_BQN = attention_weights(scores_BQN, self.config.dropout, self.training)
        if queries_BQ is None:
            values = zip(graph.by_type(h_BND), self.weight, strict=True)
            return weights_BQN @ torch.cat([product(h, w) for h, w in values], dim=1)
        # Summed per type first: few rows are left to project.
        pairs = zip(graph.by_type(weights_BQN, dim=2), graph.by_type(h_BND), strict=True)
        return torch.cat([w @ h for w, h in pairs], dim=2) @ self.weight.flatten(0, 1)


def _parts_of_scores(
    graph: BatchGraph, weight_TDR: Tensor, h_BND: Tensor, queries_BQ: Tensor | None
) -> Tensor:
    """Each node's vector times the matrix of its type; queries are of type 0."""
    if queries_BQ is not None:
        return take_rows(h_BND, queries_BQ) @ weight_TDR[0]
    pairs = zip(graph.by_type(h_BND), weight_TDR, strict=True)
    return torch.cat([h @ w for h, w in pairs], dim=1)

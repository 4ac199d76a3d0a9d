"""Graph attention typed by nodes and relations.

Shapes: B batch, N nodes, Q query nodes, D width, T node types, R relations from `SELF` on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmsr.config.mmsr import TypedGatConfig
from mmsr.graph.batch import BatchGraph
from mmsr.graph.relations import SELF, n_relations
from mmsr.models.mmsr.aggregators.base import Aggregator, attention_weights
from mmsr.models.mmsr.aggregators.relational import relation_scores, typed_products, typed_sum
from mmsr.models.mmsr.embedding import preserving_, uniform_


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
        own_BQR = typed_products(graph, self.weight @ self.own.T, h_BND, queries_BQ)
        other_BNR = typed_products(graph, self.weight @ self.other.T, h_BND, None)
        relation_BQN = graph.relations_of(queries_BQ)
        scores_BQN = relation_scores(relation_BQN, own_BQR, other_BNR, self.config.negative_slope)
        weights_BQN = attention_weights(scores_BQN, self.config.dropout, self.training)
        return typed_sum(graph, weights_BQN, self.weight, h_BND, queries_BQ)

"""Attention over all nodes of a graph, which sees its structure through biases.

Shapes: B batch, N nodes, Q query nodes, D width, H heads, K = D / H width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph
from mmsr.graph.relations import n_relations
from mmsr.model_config import GraphormerConfig
from mmsr.models.aggregators.base import Aggregator, attention_weights, rows_of
from mmsr.models.embedding import preserving_, uniform_
from mmsr.models.products import product


class Graphormer(Aggregator):
    """The attention of Ying et al. (2021) over all nodes of a graph, related or not.

    x_i = h_i + z_degree(i) is the centrality encoding (their eq. 5); scores are
    (W_Q x_i) · (W_K x_j) / √K + b_distance(i, j) + c_relation(i, j) per head (eqs. 6, 7: one hop,
    whose edge feature is the relation). Value and output projections follow, but not their residual
    connections, normalisation and feed-forward network, so that comparing aggregators compares
    aggregation.

    W_K is applied to the queries, and W_V after the sum, which saves products where few rows are
    wanted.
    """

    def __init__(self, config: GraphormerConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.config = config
        split = (width, config.heads, width // config.heads)
        self.query = nn.Parameter(preserving_(torch.empty(split), width))
        self.key = nn.Parameter(preserving_(torch.empty(split), width))
        self.value = nn.Parameter(preserving_(torch.empty(split), width))
        self.output = nn.Parameter(preserving_(torch.empty(width, width), width))
        self.output_bias = nn.Parameter(torch.zeros(width))
        self.degree = nn.Parameter(uniform_(torch.empty(config.max_degree + 1, width), width))
        """z by number of neighbours."""
        self.relation = nn.Parameter(torch.zeros(n_relations(n_types), config.heads))
        """c by relation id."""
        self.distance = nn.Parameter(torch.zeros(config.max_distance + 2, config.heads))
        """b by distance; the last is for pairs without a path."""

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        degree_BN = graph.degree_BN.clamp(max=self.config.max_degree)
        x_BND = h_BND + F.embedding(degree_BN, self.degree)
        query_BQHK = torch.einsum("bqd,dhk->bqhk", rows_of(x_BND, queries_BQ), self.query)
        scaled_BQHK = query_BQHK * query_BQHK.shape[3] ** -0.5
        mapped_BQHD = torch.einsum("bqhk,dhk->bqhd", scaled_BQHK, self.key)
        B, Q, H, D = mapped_BQHD.shape
        scores_BQHN = (mapped_BQHD.reshape(B, Q * H, D) @ x_BND.mT).view(B, Q, H, -1)
        weights_BQHN = attention_weights(
            scores_BQHN + self._bias(graph, queries_BQ), self.config.dropout, self.training
        )
        summed_BQHD = (weights_BQHN.reshape(B, Q * H, -1) @ x_BND).view(B, Q, H, D)
        heads_BQHK = torch.einsum("bqhd,dhk->bqhk", summed_BQHD, self.value)
        return product(heads_BQHK.flatten(2), self.output) + self.output_bias

    def _bias(self, graph: BatchGraph, queries_BQ: Tensor | None) -> Tensor:
        """Bias `[B, Q, H, N]` by relation and distance; -inf to padding, except from itself."""
        distance_BQN = graph.distances(self.config.max_distance, queries_BQ).long()
        relation_BQN = graph.relations_of(queries_BQ).long()
        pairs = (self.relation[:, None] + self.distance).flatten(0, 1)  # one look-up serves both
        bias_BQNH = F.embedding(relation_BQN * len(self.distance) + distance_BQN, pairs)
        hidden_BQN = ~graph.real_BN[:, None] & (distance_BQN > 0)
        return bias_BQNH.masked_fill(hidden_BQN[..., None], -torch.inf).mT

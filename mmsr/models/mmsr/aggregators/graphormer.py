"""Attention over all nodes of a graph, which sees its structure through biases.

Shapes: B batch, N nodes, Q query nodes, D width, H heads, K = D / H width of a head,
P kinds of paths, X most edges of a path.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.config.mmsr import GraphormerConfig
from mmsr.graph.batch import BatchGraph
from mmsr.graph.paths import Paths
from mmsr.graph.relations import NONE, n_relations
from mmsr.models.mmsr.aggregators.base import Aggregator, attention_weights, rows_of
from mmsr.models.mmsr.embedding import preserving_, uniform_
from mmsr.models.products import product


class Graphormer(Aggregator):
    """The attention of Ying et al. (2021) over all nodes of a graph, related or not.

    x_i = h_i + z_degree(i) is the centrality encoding (their eq. 5); scores are
    (W_Q x_i) · (W_K x_j) / √K + b_distance(i, j) + c_ij per head (eq. 6). Value and output
    projections follow, but not their residual connections, normalisation and feed-forward network,
    so that comparing aggregators compares aggregation.

    By their eq. (7), c_ij is the mean of w_n,r over the edges of a shortest path from i to j, where
    r is the relation of the n-th edge. Of several shortest paths it is the one of
    `BatchGraph.paths`. Where there is no path, or one of more than `max_distance` edges, c_ij is 0,
    as for a node and itself. With `edges="hop"`, c_ij is w_r of the relation from i to j alone,
    those of unrelated nodes and of a node and itself included.

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
        hops = (config.max_distance,) if config.edges == "path" else ()
        self.relation = nn.Parameter(torch.zeros(*hops, n_relations(n_types), config.heads))
        """w by relation id; along paths, by hop and relation id."""
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
        """Bias `[B, Q, H, N]` by edges and distance; -inf to padding, except from itself."""
        distance_BQN = graph.distances(self.config.max_distance, queries_BQ)
        if self.config.edges == "path":
            paths = graph.paths(self.config.max_distance, queries_BQ)
            bias_BQNH = F.embedding(paths.kind_BRN, self._path_bias(paths))
        else:
            relation_BQN = graph.relations_of(queries_BQ).long()
            pairs = (self.relation[:, None] + self.distance).flatten(0, 1)  # one look-up for both
            bias_BQNH = F.embedding(relation_BQN * len(self.distance) + distance_BQN, pairs)
        hidden_BQN = ~graph.real_BN[:, None] & (distance_BQN > 0)
        return bias_BQNH.masked_fill(hidden_BQN[..., None], -torch.inf).mT

    def _path_bias(self, paths: Paths) -> Tensor:
        """b + c of each kind of path, `[P, H]`."""
        hop_PX = paths.distance_P[:, None] - torch.arange(
            1, 1 + paths.relations_PX.shape[1], device=paths.distance_P.device
        )  # from 0 on; the last edge comes first
        w_PXH = self.relation[hop_PX.clamp(0, len(self.relation) - 1), paths.relations_PX]
        real_PX1 = (paths.relations_PX != NONE)[:, :, None]
        c_PH = (w_PXH * real_PX1).sum(dim=1) / paths.distance_P.clamp(min=1)[:, None]  # eq. (7)
        return self.distance[paths.distance_P] + c_PH

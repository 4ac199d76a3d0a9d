"""Relational graph attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmsr.config.mmsr import RgatConfig
from mmsr.graph.batch import BatchGraph
from mmsr.models.mmsr.aggregators.base import Aggregator, attention_weights, rows_of
from mmsr.models.mmsr.aggregators.relational import RelationalSum, relation_scores
from mmsr.models.mmsr.embedding import uniform_


class Rgat(Aggregator):
    """h_i' = sum_j softmax_j(LeakyReLU(q · W_r h_i + k · W_r h_j)) W_r h_j + b, r from i to j.

    Busbridge et al. (2019), additive attention, one softmax across all relations, `self` included.
    Equal to torch-geometric's `RGATConv`, which also shares q and k among the relations, since W_r
    makes the scores relation-specific already.
    """

    def __init__(self, config: RgatConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.sum = RelationalSum(n_types, width)
        self.query = nn.Parameter(uniform_(torch.empty(width), width))
        self.key = nn.Parameter(uniform_(torch.empty(width), width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        query_BQR = rows_of(h_BND, queries_BQ) @ (self.sum.weight @ self.query).T
        key_BNR = h_BND @ (self.sum.weight @ self.key).T
        relation_BQN = graph.relations_of(queries_BQ)
        scores_BQN = relation_scores(relation_BQN, query_BQR, key_BNR, self.config.negative_slope)
        weights_BQN = attention_weights(scores_BQN, self.config.dropout, self.training)
        summed: Tensor = self.sum(graph, relation_BQN, weights_BQN, h_BND, queries_BQ)
        return summed + self.bias

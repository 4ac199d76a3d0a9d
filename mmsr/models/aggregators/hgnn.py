"""Relation-typed graph network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph
from mmsr.model_config import HgnnConfig
from mmsr.models.aggregators.base import Aggregator, rows_of
from mmsr.models.aggregators.relational import RelationalSum


class Hgnn(Aggregator):
    """h_i' = ReLU(W_0 h_i + sum_r mean_{j in N_i^r} W_r h_j + b).

    The relational graph convolution of Schlichtkrull et al. (2018), eq. (2), with 1/|N_i^r| as
    normalisation and no weight decomposition; W_0 is the weight of the relation `self`. Equal to
    torch-geometric's `RGCNConv` (`aggr="mean"`, W_0 its root weight, no self-loops) and ReLU.
    """

    def __init__(self, config: HgnnConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.sum = RelationalSum(n_types, width)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        weights_BQN = rows_of(graph.relation_mean_BNN, queries_BQ)
        return torch.relu(self.sum(graph, weights_BQN, h_BND, queries_BQ) + self.bias)

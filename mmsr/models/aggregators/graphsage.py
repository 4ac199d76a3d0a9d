"""GraphSAGE with the mean aggregator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph
from mmsr.graph.relations import SELF
from mmsr.model_config import GraphSageConfig
from mmsr.models.aggregators.base import Aggregator, rows_of
from mmsr.models.embedding import preserving_
from mmsr.models.products import product


class GraphSage(Aggregator):
    """h_i' = ReLU(W_own h_i + W_mean mean_{j in N_i} h_j + b), N_i without i itself.

    Hamilton et al. (2017), algorithm 1 with the mean aggregator, its concatenation written as two
    products; equal to torch-geometric's `SAGEConv` and ReLU on all relations but `self`.
    """

    def __init__(self, config: GraphSageConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.own = nn.Parameter(preserving_(torch.empty(width, width), width))
        self.mean = nn.Parameter(preserving_(torch.empty(width, width), width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        neighbours_BQN = (graph.relations_of(queries_BQ) > SELF).to(h_BND.dtype)
        count_BQ1 = neighbours_BQN.sum(dim=2, keepdim=True).clamp(min=1)
        mean_BQD = (neighbours_BQN / count_BQ1) @ h_BND
        own_BQD = rows_of(h_BND, queries_BQ)
        return torch.relu(product(own_BQD, self.own) + product(mean_BQD, self.mean) + self.bias)

"""GraphSAGE with the mean aggregator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.config.mmsr import GraphSageConfig
from mmsr.graph.batch import BatchGraph
from mmsr.graph.relations import SELF
from mmsr.models.mmsr.aggregators.base import Aggregator, rows_of
from mmsr.models.mmsr.embedding import preserving_
from mmsr.models.products import product


class GraphSage(Aggregator):
    """x_i = ReLU(W_own h_i + W_mean mean_{j in N_i} h_j + b); h_i' = x_i / |x_i|.

    Hamilton et al. (2017), algorithm 1 with the mean aggregator, its concatenation written as two
    products; N_i is without i itself, and zeros stay zeros. `normalise=False` leaves out line 7,
    the division by the length. Equal to torch-geometric's `SAGEConv` (without its `normalize`,
    which comes before ReLU), then ReLU, then line 7, on all relations but `self`.
    """

    def __init__(self, config: GraphSageConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.own = nn.Parameter(preserving_(torch.empty(width, width), width))
        self.mean = nn.Parameter(preserving_(torch.empty(width, width), width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        neighbours_BQN = (graph.relations_of(queries_BQ) > SELF).to(h_BND.dtype)
        count_BQ1 = neighbours_BQN.sum(dim=2, keepdim=True).clamp(min=1)
        mean_BQD = (neighbours_BQN / count_BQ1) @ h_BND
        own_BQD = rows_of(h_BND, queries_BQ)
        x_BQD = product(own_BQD, self.own) + product(mean_BQD, self.mean) + self.bias
        return F.normalize(x_BQD.relu(), dim=2) if self.config.normalise else x_BQD.relu()

"""Graph convolution over all relations alike (eq. 8)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmsr.config.mmsr import GcnConfig
from mmsr.graph.batch import BatchGraph
from mmsr.graph.relations import NONE
from mmsr.models.mmsr.aggregators.base import Aggregator, rows_of
from mmsr.models.mmsr.embedding import preserving_
from mmsr.models.products import product


class Gcn(Aggregator):
    """h_i' = ReLU(sum_j d(i, j) W h_j), d(i, j) = 1/√(deg_i · deg_j), self-loops included.

    Kipf and Welling (2017); equal to torch-geometric's `GCNConv` on the symmetric graph of all
    relations.
    """

    def __init__(self, config: GcnConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(preserving_(torch.empty(width, width), width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        scale_BN1 = (graph.degree_BN + 1).to(h_BND.dtype).rsqrt()[:, :, None]
        related_BQN = graph.relations_of(queries_BQ) > NONE
        d_BQN = rows_of(scale_BN1, queries_BQ) * related_BQN * scale_BN1.mT
        return torch.relu(product(d_BQN @ h_BND, self.weight) + self.bias)  # eq. (8)

"""Graph attention over all relations alike (eqs. 9-11).

Shapes: B batch, N nodes, Q query nodes, D width, H heads, K = D / H width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph
from mmsr.graph.relations import NONE
from mmsr.model_config import GatConfig
from mmsr.models.aggregators.base import Aggregator, attention_weights, rows_of
from mmsr.models.embedding import preserving_, uniform_


class Gat(Aggregator):
    """h_i' = sum_j softmax_j(LeakyReLU(a · [W h_i ; W h_j])) W h_j + b, self-loops included.

    Eqs. (9)-(11), Veličković et al. (2018); equal to torch-geometric's `GATConv`. The score is the
    sum of a scalar per node and end of the edge, a_own · W h_i and a_other · W h_j. Neighbours are
    summed before they are projected, which saves products where few rows are wanted.
    """

    def __init__(self, config: GatConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.config = config
        part = width // config.heads
        self.weight = nn.Parameter(preserving_(torch.empty(width, config.heads, part), width))
        self.own = nn.Parameter(uniform_(torch.empty(config.heads, part), part))
        self.other = nn.Parameter(uniform_(torch.empty(config.heads, part), part))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        own_BQH = rows_of(h_BND, queries_BQ) @ (self.weight * self.own).sum(dim=2)
        other_BNH = h_BND @ (self.weight * self.other).sum(dim=2)
        scores_BHQN = own_BQH.mT[:, :, :, None] + other_BNH.mT[:, :, None, :]  # eq. (10)
        scores_BHQN = F.leaky_relu(scores_BHQN, self.config.negative_slope)
        unrelated_B1QN = (graph.relations_of(queries_BQ) == NONE)[:, None]
        weights_BHQN = attention_weights(  # eq. (11)
            scores_BHQN.masked_fill(unrelated_B1QN, -torch.inf), self.config.dropout, self.training
        )
        B, H, Q, N = weights_BHQN.shape
        summed_BHQD = (weights_BHQN.reshape(B, H * Q, N) @ h_BND).view(B, H, Q, -1)
        heads_BQHK = torch.einsum("bhqd,dhk->bqhk", summed_BHQD, self.weight)  # eq. (9)
        return heads_BQHK.flatten(2) + self.bias

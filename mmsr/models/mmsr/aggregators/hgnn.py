"""HGNN of table 3: the R-GCN layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmsr.config.mmsr import HgnnConfig
from mmsr.graph.batch import BatchGraph
from mmsr.graph.relations import FIRST_CROSS
from mmsr.models.mmsr.aggregators.base import Aggregator
from mmsr.models.mmsr.aggregators.relational import WITHIN, RelationalSum


class Hgnn(Aggregator):
    """h_i' = ReLU(W_0 h_i + sum_r mean_{j in N_i^r} W_r h_j + b).

    The paper's table 3 has a row HGNN without saying which network that is. Here it is R-GCN, the
    relational graph convolution of Schlichtkrull et al. (2018), eq. (2), with 1/|N_i^r| as
    normalisation and no weight decomposition; W_0 is the weight of the relation `self`. Equal to
    torch-geometric's `RGCNConv` (`aggr="mean"`, W_0 its root weight, no self-loops) and ReLU.
    """

    def __init__(self, config: HgnnConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.sum = RelationalSum(n_types, width)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        relation_BQN = graph.relations_of(queries_BQ)
        weights_BQN = _mean_weights(graph, relation_BQN, h_BND.dtype)
        summed = self.sum(graph, relation_BQN, weights_BQN, h_BND, queries_BQ)
        return torch.relu(summed + self.bias)


def _mean_weights(graph: BatchGraph, relation_BQN: Tensor, dtype: torch.dtype) -> Tensor:
    """1 / |N_i^r| for the relation r from i to j; 0 where there is none."""
    blocks = []
    for relation_BQn in graph.by_type(relation_BQN, dim=2):
        # All relations of a row to the nodes of another type are the same one.
        alike = [relation_BQn == r for r in WITHIN] + [relation_BQn >= FIRST_CROSS]
        means = [a / a.sum(dim=2, keepdim=True).clamp(min=1) for a in alike]
        blocks.append(torch.stack(means).sum(dim=0))
    return torch.cat(blocks, dim=2).to(dtype)

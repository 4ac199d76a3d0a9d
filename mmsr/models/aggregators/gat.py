"""Graph attention over all relations alike (eqs. 9-11).

Shapes: B batch, N nodes, Q query nodes, D width, H heads, K = D / H width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph
from mmsr.model_config import GatConfig
from mmsr.models.aggregators.base import Aggregator, attention_weights, rows_of
from mmsr.models.embedding import preserving_, uniform_
from mmsr.models.products import product


class Gat(Aggregator):
    """h_i' = sum_j softmax_j(LeakyReLU(a · [W h_i ; W h_j])) W h_j + b, self-loops included.

    Eqs. (9)-(11), Veličković et al. (2018); equal to torch-geometric's `GATConv`. The score is the
    sum of a scalar per node and end of the edge, a_own · W h_i and a_other · W h_j. Where rows of
    a few nodes are wanted, neighbours are summed before they are projected, which saves products.
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
        if queries_BQ is None:
            return self._all_rows(graph, h_BND)
        weights_BHQN = self._weights(
            graph, self._ends() @ self.weight.flatten(1).T, h_BND, queries_BQ
        )
        B, H, Q, N = weights_BHQN.shape
        summed_BHQD = (weights_BHQN.view(B, H * Q, N) @ h_BND).view(B, H, Q, -1)
        heads_BQHK = torch.einsum("bhqd,dhk->bqhk", summed_BHQD, self.weight)  # eq. (9)
        return heads_BQHK.flatten(2) + self.bias

    def _all_rows(self, graph: BatchGraph, h_BND: Tensor) -> Tensor:
        projected_BND = product(h_BND, self.weight.flatten(1))
        weights_BHNN = self._weights(graph, self._ends(), projected_BND, None)
        B, H, N, _ = weights_BHNN.shape
        heads_BHNK = weights_BHNN @ projected_BND.view(B, N, H, -1).transpose(1, 2)  # eq. (9)
        heads_BHNK += self.bias.view(H, 1, -1)
        return heads_BHNK.transpose(1, 2).flatten(2)

    def _ends(self) -> Tensor:
        """a_own of each head, then a_other of each, over all heads side by side: `[2H, D]`."""
        own_HD, other_HD = (
            torch.block_diag(*vectors)  # type: ignore[no-untyped-call]
            for vectors in (self.own, self.other)
        )
        return torch.cat((own_HD, other_HD))

    def _weights(
        self, graph: BatchGraph, ends_XD: Tensor, x_BND: Tensor, queries_BQ: Tensor | None
    ) -> Tensor:
        """Attention weights `[B, H, Q, N]`; the ends times x are both scalars of all nodes."""
        B, N, D = x_BND.shape
        scalars_XBN = (ends_XD @ x_BND.view(B * N, D).T).view(-1, B, N)
        own_BNH, other_BNH = scalars_XBN.permute(1, 2, 0).chunk(2, dim=2)
        own_BHQ1 = rows_of(own_BNH, queries_BQ).mT[:, :, :, None]
        scores_BHQN = own_BHQ1 + other_BNH.mT[:, :, None]  # eq. (10)
        scores_BHQN = F.leaky_relu_(scores_BHQN, self.config.negative_slope)
        bias_B1QN = graph.relation_bias_of(queries_BQ)[:, None]
        return attention_weights(  # eq. (11)
            scores_BHQN + bias_B1QN, self.config.dropout, self.training
        )

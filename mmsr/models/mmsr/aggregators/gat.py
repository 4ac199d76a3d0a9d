"""Graph attention over all relations alike (eqs. 9-11).

Shapes: B batch, N nodes, Q query nodes, D width, H heads, K = D / H width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmsr.config.mmsr import GatConfig
from mmsr.graph.batch import BatchGraph
from mmsr.models.dropout import dropout_mask
from mmsr.models.mmsr.aggregators.base import Aggregator, attention_weights, rows_of
from mmsr.models.mmsr.embedding import preserving_, uniform_
from mmsr.models.products import product
from mmsr.models.softmax import softmax, softmax_backward


class Gat(Aggregator):
    """h_i' = sum_j softmax_j(LeakyReLU(a · [W h_i ; W h_j])) W h_j + b, self-loops included.

    Eqs. (9)-(11), Veličković et al. (2018); equal to torch-geometric's `GATConv`. The score of an
    edge is the sum of two scalars, a_own · W h_i and a_other · W h_j. Where only the rows of a few
    nodes are wanted, neighbours are summed before they are projected, which saves products.
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
        unrelated_BQN = graph.relation_bias_of(queries_BQ)
        if queries_BQ is None:
            attended_BND: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
                product(h_BND, self.weight.flatten(1)),
                self.own,
                self.other,
                self.bias,
                unrelated_BQN,
                self.config.negative_slope,
                self.config.dropout if self.training else 0.0,
            )
            return attended_BND
        B, N, D = h_BND.shape
        ends_2HK = torch.stack((self.own, self.other))
        maps_XD = torch.einsum("xhk,dhk->xhd", ends_2HK, self.weight).flatten(0, 1)
        scalars_XBN = (maps_XD @ h_BND.flatten(0, 1).T).view(-1, B, N)
        own_BNH, other_BNH = scalars_XBN.permute(1, 2, 0).chunk(2, dim=2)
        own_BHQ, other_BHN = rows_of(own_BNH, queries_BQ).mT, other_BNH.mT
        scores_BHQN = _scores(own_BHQ, other_BHN, self.config.negative_slope)
        weights_BHQN = attention_weights(  # eq. (11)
            scores_BHQN + unrelated_BQN[:, None], self.config.dropout, self.training
        )
        _, H, Q, _ = weights_BHQN.shape
        summed_BHQD = (weights_BHQN.reshape(B, H * Q, N) @ h_BND).view(B, H, Q, D)
        heads_BQHK = torch.einsum("bhqd,dhk->bqhk", summed_BHQD, self.weight)  # eq. (9)
        return heads_BQHK.flatten(2) + self.bias


def _scores(own: Tensor, other: Tensor, negative_slope: float) -> Tensor:
    """eq. (10): `[..., Q]` and `[..., N]` to `[..., Q, N]`."""
    return F.leaky_relu_(own[..., None] + other[..., None, :], negative_slope)


class _Attention(torch.autograd.Function):
    """Attention of all nodes: sums of projected vectors by eqs. (9)-(11), plus the bias.

    Vectors are `[B, N, D]`, with the heads side by side. The backward pass overwrites the projected
    vectors with their gradient, which saves memory of that size. So it can run only once; torch
    raises if it is run again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_BND: Tensor,
        own_HK: Tensor,
        other_HK: Tensor,
        bias_D: Tensor,
        unrelated_BNN: Tensor,
        negative_slope: float,
        dropout: float,
    ) -> Tensor:
        B, N, D = x_BND.shape
        ends_2HK = torch.stack((own_HK, other_HK))
        attended_BND = torch.empty_like(x_BND)
        kept: list[Tensor | None] = []
        for columns, ends_2K in _heads(ends_2HK):
            x_BNK = x_BND[:, :, columns]
            own_BN, other_BN = (ends_2K @ x_BND.view(B * N, D)[:, columns].T).view(2, B, N)
            scores_BNN = _scores(own_BN, other_BN, negative_slope)
            weights_BNN = softmax(scores_BNN + unrelated_BNN)
            mask_BNN = dropout_mask(weights_BNN, dropout) if dropout else None
            torch.bmm(_masked(weights_BNN, mask_BNN), x_BNK, out=attended_BND[:, :, columns])
            kept += [scores_BNN, weights_BNN, mask_BNN]
        ctx.save_for_backward(x_BND, ends_2HK, *kept)
        ctx.negative_slope = negative_slope
        return attended_BND.add_(bias_D)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x_BND, ends_2HK, *kept = ctx.saved_tensors
        x_RD, d_ends_2HK = x_BND.view(-1, x_BND.shape[2]), torch.empty_like(ends_2HK)
        for head, (columns, ends_2K) in enumerate(_heads(ends_2HK)):
            scores_BNN, weights_BNN, mask_BNN = kept[3 * head : 3 * head + 3]
            x_BNK, gradient_BNK = x_BND[:, :, columns], gradients[0][:, :, columns]
            d_BNN = softmax_backward(_masked(gradient_BNK @ x_BNK.mT, mask_BNN), weights_BNN)
            d_BNN = torch.ops.aten.leaky_relu_backward(d_BNN, scores_BNN, ctx.negative_slope, True)
            d_ends_2R = torch.stack((d_BNN.sum(dim=2), d_BNN.sum(dim=1))).flatten(1)
            torch.mm(d_ends_2R, x_RD[:, columns], out=d_ends_2HK[:, head])
            # From here on, x holds its own gradient.
            torch.mm(d_ends_2R.T, ends_2K, out=x_RD[:, columns])
            x_BNK.baddbmm_(_masked(weights_BNN, mask_BNN).mT, gradient_BNK)
        return x_BND, *d_ends_2HK, gradients[0].sum(dim=(0, 1)), None, None, None


def _heads(ends_2HK: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """For each head, the columns of its vectors, and a_own and a_other `[2, K]`."""
    K = ends_2HK.shape[2]
    for head, ends_2K in enumerate(ends_2HK.unbind(1)):
        yield slice(head * K, (head + 1) * K), ends_2K


def _masked(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else values * mask

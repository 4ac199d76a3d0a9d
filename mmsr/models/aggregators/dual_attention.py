"""Dual attention: homogeneous and heterogeneous attention over one graph (eqs. 12-17).

Shapes: B batch, N nodes, n nodes of one type block, Q query nodes, D width.

A homogeneous pass mixes nodes of one type, which share their projections, so it commutes with
them: projecting the result of the pass equals passing the projections. The second pass of an
asynchronous order therefore needs no further product with a weight matrix.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.config import DualAttentionConfig
from mmsr.graph.batch import BatchGraph
from mmsr.models.aggregators.base import Aggregator, take_rows
from mmsr.models.dropout import dropout
from mmsr.models.embedding import preserving_, uniform_


class DualAttention(Aggregator):
    """The paper's HAN-GNN layer and its ablations, chosen by `config.order`."""

    def __init__(self, config: DualAttentionConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.config = config
        n_projections = 1 if config.share_qkv else 3
        self.projection = nn.Parameter(
            preserving_(torch.empty(n_types, width, n_projections * width), width)
        )
        self.combine = ORDERS[config.order](width)
        if self.combine.homogeneous:
            self.relation = nn.Parameter(uniform_(torch.empty(4, width), width))
            """a_r of eq. (12) for self, out, in, both."""

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        D = h_BND.shape[2]
        projected = torch.cat(
            [h_BND[:, graph.block(t)] @ w for t, w in enumerate(self.projection)], dim=1
        )
        parts = torch.split(projected, D, dim=2)
        query, key, value = parts if len(parts) == 3 else parts * 3
        passes = Passes(self, graph, queries_BQ)
        combined: Tensor = self.combine(passes, query, key, value)
        return combined


@dataclass(frozen=True)
class Passes:
    """The two attention passes over one batch graph, with one layer's parameters."""

    layer: DualAttention
    graph: BatchGraph
    queries_BQ: Tensor | None

    def homogeneous(self, x_BND: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        """Mix `values` by the scores of eq. (12) between the nodes `x_BND`, for all nodes."""
        mixed = []
        for t, (mask, bias) in enumerate(
            zip(self.graph.sequential, self.graph.within_bias, strict=True)
        ):
            block = self.graph.block(t)
            x = x_BND[:, block]
            weights = self._within_weights(x, x, mask, bias, torch.diag_embed)
            mixed.append([weights @ v[:, block] for v in values])
        return tuple(torch.cat(blocks, dim=1) for blocks in zip(*mixed, strict=True))

    def homogeneous_of_queries(self, x_BND: Tensor, value_BND: Tensor) -> Tensor:
        """The same for the queries alone; `x_BND` must hold at least the nodes of type 0."""
        if self.queries_BQ is None:
            return self.homogeneous(x_BND, value_BND)[0]
        rows, block = self.queries_BQ, self.graph.block(0)
        x = x_BND[:, block]
        place = F.one_hot(rows, x.shape[1]).to(x.dtype)
        weights = self._within_weights(
            take_rows(x, rows),
            x,
            take_rows(self.graph.sequential[0], rows),
            take_rows(self.graph.within_bias[0], rows),
            lambda own: own[:, :, None] * place,
        )
        return weights @ value_BND[:, block]

    def heterogeneous(
        self, query: Tensor, key: Tensor, value: Tensor, *, items_only: bool = False
    ) -> Tensor:
        """Mix `value` by the scores of eq. (13), for all nodes or those of type 0."""
        bias = self.graph.cross_bias_BNN
        if items_only:
            query, bias = query[:, self.graph.block(0)], bias[:, self.graph.block(0)]
        return self._cross(query, key, value, bias)

    def heterogeneous_of_queries(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The same for the queries alone."""
        if self.queries_BQ is None:
            return self.heterogeneous(query, key, value)
        bias = take_rows(self.graph.cross_bias_BNN, self.queries_BQ)
        return self._cross(take_rows(query, self.queries_BQ), key, value, bias)

    @property
    def queries_only(self) -> bool:
        """Whether the result is wanted for some nodes of type 0 alone."""
        return self.queries_BQ is not None

    def _within_weights(
        self,
        rows_BQD: Tensor,
        x_BnD: Tensor,
        mask_BQ3n: Tensor,
        bias_BQn: Tensor,
        at_self: Callable[[Tensor], Tensor],
    ) -> Tensor:
        own, *others = self.layer.relation  # eq. (12): a_r · (v_i ⊙ v_j)
        B, Q, D = rows_BQD.shape
        scaled = (rows_BQD[:, :, None] * torch.stack(others)).reshape(B, Q * 3, D)
        scores_BQ3n = (scaled @ x_BnD.transpose(1, 2)).view(B, Q, 3, -1)
        scores = (scores_BQ3n * mask_BQ3n).sum(dim=2) + at_self((rows_BQD * rows_BQD) @ own)
        return self._weights(F.leaky_relu(scores, self.layer.config.negative_slope) + bias_BQn)

    def _cross(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        return self._weights(query @ key.transpose(1, 2) + bias) @ value  # eqs. (13), (14)

    def _weights(self, scores: Tensor) -> Tensor:
        weights = torch.softmax(scores, dim=-1)
        return dropout(weights, self.layer.config.dropout, self.layer.training)


class Order(nn.Module, ABC):
    """How the two passes are combined into the layer's output."""

    homogeneous = True
    """Whether there is a homogeneous pass."""

    def __init__(self, width: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, p: Passes, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Output for the queries of `p` from the projections of all nodes `[B, N, D]`."""


class Homogeneous(Order):
    """`ho`: within types alone."""

    def forward(self, p: Passes, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return p.homogeneous_of_queries(value, value)


class Heterogeneous(Order):
    """`he`: across types alone."""

    homogeneous = False

    def forward(self, p: Passes, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return p.heterogeneous_of_queries(query, key, value)


class Synchronous(Order):
    """Both passes side by side, joined by a linear map (eq. 15)."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.join = nn.Linear(2 * width, width)

    def forward(self, p: Passes, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        ho = p.homogeneous_of_queries(value, value)
        he = p.heterogeneous_of_queries(query, key, value)
        joined: Tensor = self.join(torch.cat((ho, he), dim=2))
        return joined


class HomogeneousFirst(Order):
    """`hohe`: heterogeneous attention over the result of homogeneous attention."""

    def forward(self, p: Passes, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = _mix(p, value, query, key, value)
        return p.heterogeneous_of_queries(query, key, value)


class HeterogeneousFirst(Order):
    """`heho`: homogeneous attention over the result of heterogeneous attention."""

    def forward(self, p: Passes, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mixed = p.heterogeneous(query, key, value, items_only=p.queries_only)
        return p.homogeneous_of_queries(mixed, mixed)


class NonInvasiveHomogeneousFirst(Order):
    """`NI(hohe)`: the first pass changes the scores of the second, the values stay V."""

    def forward(self, p: Passes, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key = _mix(p, value, query, key)
        return p.heterogeneous_of_queries(query, key, value)


class NonInvasiveHeterogeneousFirst(Order):
    """`NI(heho)`: the first pass changes the scores of the second, the values stay V."""

    def forward(self, p: Passes, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mixed = p.heterogeneous(query, key, value, items_only=p.queries_only)
        return p.homogeneous_of_queries(mixed, value)


class Gated(Order):
    """Update gate over the two non-invasive branches (eqs. 16, 17): the adaptive fusion."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.hohe = NonInvasiveHomogeneousFirst(width)
        self.heho = NonInvasiveHeterogeneousFirst(width)
        self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, p: Passes, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        hohe = self.hohe(p, query, key, value)
        heho = self.heho(p, query, key, value)
        beta = torch.softmax(self.gate(torch.cat((hohe, heho), dim=2)), dim=2)  # eq. (16)
        gated: Tensor = beta[:, :, :1] * hohe + beta[:, :, 1:] * heho  # eq. (17)
        return gated


ORDERS: dict[str, type[Order]] = {
    "gated": Gated,
    "synchronous": Synchronous,
    "ni_hohe": NonInvasiveHomogeneousFirst,
    "ni_heho": NonInvasiveHeterogeneousFirst,
    "hohe": HomogeneousFirst,
    "heho": HeterogeneousFirst,
    "ho": Homogeneous,
    "he": Heterogeneous,
}


def _mix(p: Passes, x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """Homogeneous pass over several values; one that is given twice is mixed once."""
    distinct = list(dict.fromkeys(values))
    mixed = dict(zip(distinct, p.homogeneous(x, *distinct), strict=True))
    return tuple(mixed[v] for v in values)

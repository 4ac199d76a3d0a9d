"""Dual attention: homogeneous and heterogeneous attention over one graph (eqs. 12-17).

Shapes: B batch, N nodes, n nodes of one type block, Q query nodes, R rows, S slots, D width.

A homogeneous pass mixes nodes of one type, which share their projections, so it commutes with
them: projecting the result of the pass equals passing the projections. The second pass of an
asynchronous order therefore needs no further product with a weight matrix.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph, take_rows
from mmsr.model_config import DualAttentionConfig
from mmsr.models.aggregators.base import Aggregator, attention_weights
from mmsr.models.embedding import preserving_, uniform_
from mmsr.models.products import product

Blocks = tuple[Tensor, ...]
"""Vectors by node type, `[B, n, D]` each."""


class DualAttention(Aggregator):
    """The paper's HAN-GNN layer and its ablations, chosen by `config.order`."""

    def __init__(self, config: DualAttentionConfig, n_types: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.n_projections = 1 if config.share_qkv else 3
        self.projection = nn.Parameter(
            preserving_(torch.empty(n_types, width, self.n_projections * width), width)
        )
        self.scale = width**-0.5 if config.scaled else 1.0
        self.combine = ORDERS[config.order](width)
        if self.combine.homogeneous:
            self.relation = nn.Parameter(uniform_(torch.empty(4, width), width))
            """a_r of eq. (12) for self, out, in, both."""

    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        projected = [
            product(h, w).chunk(self.n_projections, dim=2)
            for h, w in zip(graph.by_type(h_BND), self.projection, strict=True)
        ]
        parts = [tuple(blocks) for blocks in zip(*projected, strict=True)]
        query, key, value = parts if len(parts) == 3 else parts * 3
        passes = (
            AllPasses(self, graph) if queries_BQ is None else QueryPasses(self, graph, queries_BQ)
        )
        combined: Tensor = self.combine(passes, query, key, value)
        return combined


class Passes(ABC):
    """The two attention passes over one batch graph, with one layer's parameters.

    A pass that is the second one is wanted for the output nodes alone. What it reads of the first
    is called *near*: vectors of the nodes that heterogeneous attention of output nodes looks at.
    """

    def __init__(self, layer: DualAttention, graph: BatchGraph) -> None:
        self.layer, self.graph = layer, graph

    @abstractmethod
    def near(self, x: Blocks) -> Blocks:
        """The near nodes' rows of `x`."""

    @abstractmethod
    def within_near(self, x: Blocks, *values: Blocks) -> tuple[Blocks, ...]:
        """Homogeneous pass: `values` mixed by the scores of eq. (12) between `x`, near nodes."""

    @abstractmethod
    def across_sources(self, query: Blocks, key: Blocks, value: Blocks) -> Blocks:
        """Heterogeneous pass for all nodes that homogeneous attention of output nodes looks at."""

    @abstractmethod
    def within(self, x: Blocks, value: Blocks) -> Tensor:
        """Homogeneous pass for the output nodes."""

    @abstractmethod
    def across(self, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        """Heterogeneous pass (eq. 13) for the output nodes, from vectors of the near ones."""

    def _within_weights(
        self, rows_BRD: Tensor, x_BnD: Tensor, mask_BR3n: Tensor, bias_BRn: Tensor, itself: Tensor
    ) -> Tensor:
        """Softmax over eq. (12): a_r · (v_i ⊙ v_j); `itself` holds 1 where row and column meet."""
        own, *others = self.layer.relation
        B, R, D = rows_BRD.shape
        scaled = (rows_BRD[:, :, None] * torch.stack(others)).view(B, R * 3, D)
        scores_BR3n = (scaled @ x_BnD.transpose(1, 2)).view(B, R, 3, -1)
        scores = (scores_BR3n * mask_BR3n).sum(dim=2)
        scores = scores + ((rows_BRD * rows_BRD) @ own)[:, :, None] * itself
        return self._weights(F.leaky_relu(scores, self.layer.config.negative_slope) + bias_BRn)

    def _scaled(self, query: Tensor) -> Tensor:
        return query * self.layer.scale

    def _weights(self, scores: Tensor) -> Tensor:
        return attention_weights(scores, self.layer.config.dropout, self.layer.training)


def _mixed(weights_BRn: Tensor, values: list[Tensor]) -> list[Tensor]:
    """Weighted sums of each value `[B, n, D]`; one that is given twice is summed once."""
    sums = {id(v): weights_BRn @ v for v in {id(v): v for v in values}.values()}
    return [sums[id(v)] for v in values]


class AllPasses(Passes):
    """Every node is an output node."""

    def near(self, x: Blocks) -> Blocks:
        return x

    def within_near(self, x: Blocks, *values: Blocks) -> tuple[Blocks, ...]:
        mixed = []
        for t, x_BnD in enumerate(x):
            weights = self._within_weights(
                x_BnD,
                x_BnD,
                self.graph.sequential[t],
                self.graph.within_bias[t],
                torch.eye(x_BnD.shape[1], dtype=x_BnD.dtype, device=x_BnD.device),
            )
            mixed.append(_mixed(weights, [v[t] for v in values]))
        return tuple(zip(*mixed, strict=True))

    def across_sources(self, query: Blocks, key: Blocks, value: Blocks) -> Blocks:
        return self.graph.by_type(self.across(query, key, value))

    def within(self, x: Blocks, value: Blocks) -> Tensor:
        return torch.cat(self.within_near(x, value)[0], dim=1)

    def across(self, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        q, k, v = (torch.cat(blocks, dim=1) for blocks in (query, key, value))
        scores = self._scaled(q) @ k.transpose(1, 2) + self.graph.cross_bias_BNN  # eq. (13)
        return self._weights(scores) @ v  # eq. (14)


class QueryPasses(Passes):
    """Some nodes of type 0 are the output nodes.

    Near them are they themselves and, an item having the same codes wherever it occurs, the nodes
    they are linked to: a few slots S for each, so no row of any other node is computed. Where codes
    are lost by position, those of its latest position count (`BatchGraph.linked`).
    """

    def __init__(self, layer: DualAttention, graph: BatchGraph, queries_BQ: Tensor) -> None:
        super().__init__(layer, graph)
        linked = [graph.linked(t, queries_BQ) for t in range(1, len(graph.sizes))]
        slots = [queries_BQ[:, :, None], *linked]
        self.rows = [slot.clamp(min=0).flatten(1) for slot in slots]
        self.bias_BQS = torch.cat(slots, dim=2).lt(0) * torch.finfo(torch.float32).min

    def near(self, x: Blocks) -> Blocks:
        return tuple(take_rows(block, rows) for block, rows in zip(x, self.rows, strict=True))

    def within_near(self, x: Blocks, *values: Blocks) -> tuple[Blocks, ...]:
        mixed = []
        for t, (x_BnD, rows) in enumerate(zip(x, self.rows, strict=True)):
            weights = self._row_weights(t, x_BnD, rows)
            mixed.append(_mixed(weights, [v[t] for v in values]))
        return tuple(zip(*mixed, strict=True))

    def across_sources(self, query: Blocks, key: Blocks, value: Blocks) -> Blocks:
        items = self._scaled(query[0])
        scores = [  # eq. (13)
            items @ k.transpose(1, 2) + bias
            for k, bias in zip(key, self.graph.item_cross_bias, strict=True)
        ]
        weights = self.graph.by_type(self._weights(torch.cat(scores, dim=2)), dim=2)
        first, *others = (w @ v for w, v in zip(weights, value, strict=True))  # eq. (14)
        return (sum(others, first),)

    def within(self, x: Blocks, value: Blocks) -> Tensor:
        return self._row_weights(0, x[0], self.rows[0]) @ value[0]

    def across(self, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        key_BQSD, value_BQSD = self._by_slot(key), self._by_slot(value)
        query_BQD = self._scaled(query[0])
        scores_BQS = (key_BQSD @ query_BQD[:, :, :, None])[:, :, :, 0]  # eq. (13)
        weights_BQS = self._weights(scores_BQS + self.bias_BQS)
        return (weights_BQS[:, :, None] @ value_BQSD)[:, :, 0]  # eq. (14)

    def _row_weights(self, type_: int, x_BnD: Tensor, rows_BR: Tensor) -> Tensor:
        mask, bias = self.graph.sequential_of(type_, rows_BR)
        itself = F.one_hot(rows_BR, x_BnD.shape[1]).to(x_BnD.dtype)
        return self._within_weights(take_rows(x_BnD, rows_BR), x_BnD, mask, bias, itself)

    def _by_slot(self, near: Blocks) -> Tensor:
        B, Q, D = near[0].shape
        return torch.cat([block.view(B, Q, -1, D) for block in near], dim=2)


class Order(nn.Module, ABC):
    """How the two passes are combined into the layer's output."""

    homogeneous = True
    """Whether there is a homogeneous pass."""

    def __init__(self, width: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        """Vectors of the output nodes of `p` from the projections of all nodes."""


class Homogeneous(Order):
    """`ho`: within types alone."""

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        return p.within(value, value)


class Heterogeneous(Order):
    """`he`: across types alone."""

    homogeneous = False

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        return p.across(p.near(query), p.near(key), p.near(value))


class Synchronous(Order):
    """Both passes side by side, joined by a linear map (eq. 15)."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.join = nn.Linear(2 * width, width)

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        ho = p.within(value, value)
        he = p.across(p.near(query), p.near(key), p.near(value))
        joined: Tensor = self.join(torch.cat((ho, he), dim=2))
        return joined


class HomogeneousFirst(Order):
    """`hohe`: heterogeneous attention over the result of homogeneous attention."""

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        return p.across(*p.within_near(value, query, key, value))


class HeterogeneousFirst(Order):
    """`heho`: homogeneous attention over the result of heterogeneous attention."""

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        mixed = p.across_sources(query, key, value)
        return p.within(mixed, mixed)


class NonInvasiveHomogeneousFirst(Order):
    """`NI(hohe)`: the first pass changes the scores of the second, the values stay V."""

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        query, key = p.within_near(value, query, key)
        return p.across(query, key, p.near(value))


class NonInvasiveHeterogeneousFirst(Order):
    """`NI(heho)`: the first pass changes the scores of the second, the values stay V."""

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        return p.within(p.across_sources(query, key, value), value)


class Gated(Order):
    """Update gate over the two non-invasive branches (eqs. 16, 17): the adaptive fusion."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.hohe = NonInvasiveHomogeneousFirst(width)
        self.heho = NonInvasiveHeterogeneousFirst(width)
        self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
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

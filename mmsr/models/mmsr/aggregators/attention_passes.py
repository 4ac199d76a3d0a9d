"""The two attention passes of dual attention (eqs. 12-14), for all nodes or for some.

Shapes: B batch, N nodes, n nodes of one type block, M nodes of all other types, Q query nodes,
R rows, S slots, D width, X an axis that joins several.

Nodes of one type share their projections, so a homogeneous pass can mix projected vectors instead
of projecting the mix: the second pass of an asynchronous order needs no further projection.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.config.mmsr import DualAttentionConfig
from mmsr.graph.batch import BatchGraph, take_rows
from mmsr.models.mmsr.aggregators.base import attention_weights

Blocks = tuple[Tensor, ...]
"""Vectors by node type, `[B, n, D]` each."""


class AttentionLayer(Protocol):
    """What the passes read of the layer."""

    config: DualAttentionConfig
    relation: nn.Parameter
    """`[4, D]`: a_r of eq. (12) for self, out, in, both."""
    scale: float
    """Factor of the scores of eq. (13)."""
    training: bool


class Passes(ABC):
    """The two attention passes over one batch graph, with one layer's parameters.

    Output nodes are those whose new vectors are wanted; near nodes are those that heterogeneous
    attention of output nodes looks at. All arguments are vectors by node type.
    """

    def __init__(self, layer: AttentionLayer, graph: BatchGraph) -> None:
        self.layer, self.graph = layer, graph

    @abstractmethod
    def near(self, x: Blocks) -> Blocks:
        """Select the near nodes' rows of `x`, which holds all nodes."""

    @abstractmethod
    def within_near(self, x: Blocks, near: Blocks, *values: Blocks) -> tuple[Blocks, ...]:
        """Homogeneous pass (eqs. 12, 14) for the near nodes: weighted sums of each of `values`.

        Scores are those of `near`, the near nodes' rows of `x`, with `x`.
        """

    @abstractmethod
    def across_sources(self, query: Blocks, key: Blocks, value: Blocks) -> Blocks:
        """Heterogeneous pass for all nodes that the output nodes' homogeneous attention reads."""

    @abstractmethod
    def within(self, x: Blocks, value: Blocks) -> Tensor:
        """Homogeneous pass (eqs. 12, 14) for the output nodes, with scores between vectors `x`."""

    @abstractmethod
    def across(self, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        """Heterogeneous pass (eqs. 13, 14) for the output nodes, from vectors of near nodes."""

    def _within_weights(
        self, rows_BRD: Tensor, x_BnD: Tensor, mask_BR4n: Tensor, bias_BRn: Tensor
    ) -> Tensor:
        """Softmax over eq. (12): a_r · (v_i ⊙ v_j), where r is the relation from i to j."""
        scaled_BXD = (rows_BRD[:, :, None] * self.layer.relation).flatten(1, 2)
        scores_BR4n = (scaled_BXD @ x_BnD.transpose(1, 2)).view(mask_BR4n.shape)
        scores_BRn = (scores_BR4n * mask_BR4n).sum(dim=2)
        slope = self.layer.config.negative_slope
        return self._weights(F.leaky_relu(scores_BRn, slope) + bias_BRn)

    def _across_weights(self, products: Tensor, bias: Tensor) -> Tensor:
        """Softmax over eq. (13), whose LeakyReLU eqs. (11) and (14) put inside the softmax.

        `products` are those of queries and keys.
        """
        slope = self.layer.config.heterogeneous_slope
        scores = products * self.layer.scale
        return self._weights((F.leaky_relu(scores, slope) if slope != 1 else scores) + bias)

    def _weights(self, scores: Tensor) -> Tensor:
        return attention_weights(scores, self.layer.config.dropout, self.layer.training)


def _mixed(weights_BRn: Tensor, values: list[Tensor]) -> list[Tensor]:
    """Weighted sums of each value `[B, n, D]`; a value given twice is summed once."""
    sums = {id(v): weights_BRn @ v for v in {id(v): v for v in values}.values()}
    return [sums[id(v)] for v in values]


class AllPasses(Passes):
    """Every node is an output node."""

    def near(self, x: Blocks) -> Blocks:
        return x

    def within_near(self, x: Blocks, near: Blocks, *values: Blocks) -> tuple[Blocks, ...]:
        mixed = []
        for t, (x_BnD, (mask, bias)) in enumerate(zip(x, self.graph.within, strict=True)):
            weights = self._within_weights(x_BnD, x_BnD, mask, bias)
            mixed.append(_mixed(weights, [v[t] for v in values]))
        return tuple(zip(*mixed, strict=True))

    def across_sources(self, query: Blocks, key: Blocks, value: Blocks) -> Blocks:
        return self.graph.by_type(self.across(query, key, value))

    def within(self, x: Blocks, value: Blocks) -> Tensor:
        return torch.cat(self.within_near(x, x, value)[0], dim=1)

    def across(self, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        q, k, v = (torch.cat(blocks, dim=1) for blocks in (query, key, value))
        weights_BNN = self._across_weights(q @ k.transpose(1, 2), self.graph.cross_bias_BNN)
        return weights_BNN @ v  # eq. (14)


class QueryPasses(Passes):
    """The output nodes are some nodes of type 0, the queries.

    Their near nodes are the queries themselves and the nodes they are linked to
    (`BatchGraph.linked`): a few slots S each, so no other rows are computed.
    """

    def __init__(self, layer: AttentionLayer, graph: BatchGraph, queries_BQ: Tensor) -> None:
        super().__init__(layer, graph)
        linked = [graph.linked(t, queries_BQ) for t in range(1, len(graph.sizes))]
        slots = [queries_BQ[:, :, None], *linked]
        self.rows = [slot.clamp(min=0).flatten(1) for slot in slots]
        self.bias_BQS = torch.cat(slots, dim=2).lt(0) * torch.finfo(torch.float32).min

    @cached_property
    def within_items(self) -> tuple[Tensor, Tensor]:
        """Mask and bias between queries and items; computed once for both orders of the passes."""
        return self.graph.within_of(0, self.rows[0])

    def near(self, x: Blocks) -> Blocks:
        return tuple(take_rows(block, rows) for block, rows in zip(x, self.rows, strict=True))

    def within_near(self, x: Blocks, near: Blocks, *values: Blocks) -> tuple[Blocks, ...]:
        mixed = []
        for t, (x_BnD, near_BRD, rows_BR) in enumerate(zip(x, near, self.rows, strict=True)):
            relations = self.within_items if t == 0 else self.graph.within_of(t, rows_BR)
            weights = self._within_weights(near_BRD, x_BnD, *relations)
            mixed.append(_mixed(weights, [v[t] for v in values]))
        return tuple(zip(*mixed, strict=True))

    def across_sources(self, query: Blocks, key: Blocks, value: Blocks) -> Blocks:
        # An item reads itself and nodes of other types, so its own type needs only one score.
        if len(query) == 1:
            return (self._weights(torch.zeros_like(value[0][:, :, :1])) * value[0],)
        items_BnD, keys_BMD = query[0], torch.cat(key[1:], dim=1)
        values_BMD = keys_BMD if value is key else torch.cat(value[1:], dim=1)
        itself_Bn1 = (items_BnD * key[0]).sum(dim=2, keepdim=True)
        products_BnX = torch.cat((itself_Bn1, items_BnD @ keys_BMD.transpose(1, 2)), dim=2)
        weights_BnX = self._across_weights(products_BnX, self.graph.item_cross_bias_BnX)
        itself_Bn1, others_BnM = weights_BnX.tensor_split((1,), dim=2)
        return (torch.addcmul(others_BnM @ values_BMD, itself_Bn1, value[0]),)  # eq. (14)

    def within(self, x: Blocks, value: Blocks) -> Tensor:
        rows_BRD = take_rows(x[0], self.rows[0])
        return self._within_weights(rows_BRD, x[0], *self.within_items) @ value[0]

    def across(self, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        key_BQSD, value_BQSD = self._by_slot(key), self._by_slot(value)
        products_BQS = (key_BQSD @ query[0][:, :, :, None])[:, :, :, 0]
        weights_BQS = self._across_weights(products_BQS, self.bias_BQS)
        return (weights_BQS[:, :, None] @ value_BQSD)[:, :, 0]  # eq. (14)

    def _by_slot(self, near: Blocks) -> Tensor:
        B, Q, D = near[0].shape
        return torch.cat([block.view(B, Q, -1, D) for block in near], dim=2)


class _Constant(Passes):
    """Passes whose attention weights are constants: gradients reach the mixed values alone."""

    def _weights(self, scores: Tensor) -> Tensor:
        return super()._weights(scores).detach()


class ConstantAllPasses(_Constant, AllPasses):
    """`AllPasses` with constant weights."""


class ConstantQueryPasses(_Constant, QueryPasses):
    """`QueryPasses` with constant weights."""

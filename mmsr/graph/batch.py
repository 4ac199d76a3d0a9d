"""Batch graphs: many histories become padded graphs by tensor operations alone.

Shapes: B batch, L history, K links per item, I items, N nodes of a graph (all type blocks side by
side), n and m nodes of one type block, M of all types but 0, Q queries of type 0, R rows of a type.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsr.graph.distances import shortest_paths
from mmsr.graph.paths import Paths, by_recency, relations_along_paths
from mmsr.graph.relations import BOTH, IN, NONE, OUT, SELF, cross_relation, n_relations


@dataclass(frozen=True)
class BatchGraph:
    """Graphs of a batch of histories, their nodes grouped in one block per type.

    Nodes of type `t` are at `block(t)` of the node axis, padded to the longest block of the batch.
    A padded node is related to nothing but itself. It stores where nodes occur, as 0/1 floats;
    attention masks and relations are products of these, computed when first used. In the methods,
    `type_` is a node type; `items_BQ`, `rows_BR` and `queries_BQ` index nodes within one block.
    """

    sizes: tuple[int, ...]
    """Width of each type block; type 0 are the items."""
    ids: tuple[Tensor, ...]
    """Per type `[B, n]`: row in the type's embedding table, 0 where padded."""
    real_BN: Tensor
    """True for nodes, False for padding."""
    occurrences: tuple[Tensor, ...]
    """Per type `[B, n, L]`: 1 where a node occurs; position 0 is the history's last."""
    slots: tuple[Tensor, ...]
    """Per type `[B, L, K]`: places of the nodes at each position, oldest first; -1 where fewer."""
    lengths: Tensor
    """`[B]`, positions of each history."""
    same_everywhere: bool = True
    """Whether an item has the same codes at all its positions; False where codes are lost by
    position. An item is then linked to the codes of any of its positions."""

    def block(self, type_: int) -> slice:
        """Slice of the node axis that holds the nodes of one type."""
        start = sum(self.sizes[:type_])
        return slice(start, start + self.sizes[type_])

    def by_type(self, values: Tensor, dim: int = 1) -> tuple[Tensor, ...]:
        """Split `values` into views of each type's nodes; `dim` is the node axis.

        In the backward pass, one split costs one concatenation, while a slice per type would fill a
        tensor of all nodes for each type.
        """
        return torch.split(values, list(self.sizes), dim=dim)

    @cached_property
    def occurrence_BNL(self) -> Tensor:
        """The occurrences of all types, concatenated."""
        return torch.cat(self.occurrences, dim=1)

    @cached_property
    def mean_occurrence_BNL(self) -> Tensor:
        """`occurrence_BNL`, divided by the number of positions where each node occurs."""
        return self.occurrence_BNL / self.occurrence_BNL.sum(dim=2, keepdim=True).clamp(min=1)

    @cached_property
    def is_type_BNT(self) -> Tensor:
        """One-hot type of each node, padding included."""
        types = torch.eye(len(self.sizes), device=self.real_BN.device)
        rows = [row.expand(size, -1) for row, size in zip(types, self.sizes, strict=True)]
        return torch.cat(rows).expand(self.real_BN.shape[0], -1, -1)

    @cached_property
    def last_BK(self) -> Tensor:
        """Nodes of type 0 at the history's last position; -1 where there are fewer than K."""
        return take_rows(self.slots[0], self.lengths[:, None] - 1)[:, 0]

    @cached_property
    def follows(self) -> tuple[Tensor, ...]:
        """Per type `[B, n, n]`: 1 where the column node comes right after the row node anywhere."""
        return tuple(_after(o, o) for o in self.occurrences)

    @cached_property
    def shares_BNN(self) -> Tensor:
        """1 where two nodes of any types occur at the same position; also for a node and itself."""
        return _any(self.occurrence_BNL, self.occurrence_BNL)

    def linked(self, type_: int, items_BQ: Tensor) -> Tensor:
        """Nodes of type `type_` that items are linked to, `[B, Q, K]`; -1 where there are fewer.

        Nodes are places within the block; K grows where items have other codes at other positions.
        """
        rows_BQL = take_rows(self.occurrences[0], items_BQ)
        if not self.same_everywhere:
            linked_BQn = _any(rows_BQL, self.occurrences[type_])
            most = max(int(linked_BQn.sum(dim=2).max()), 1)
            found = linked_BQn.topk(most, dim=2)
            return found.indices.masked_fill(found.values == 0, -1)
        back_BQ = rows_BQL.argmax(dim=2)
        return take_rows(self.slots[type_], (self.lengths[:, None] - 1 - back_BQ).clamp(min=0))

    def within_of(self, type_: int, rows_BR: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of `within[type_]` for the nodes `rows_BR`: `[B, R, 4, n]` and `[B, R, n]`."""
        occurrence = self.occurrences[type_]
        rows_BRL = take_rows(occurrence, rows_BR)
        itself = _one_hot(rows_BR, self.sizes[type_], rows_BRL.dtype)
        return _within(_after(rows_BRL, occurrence), _before(rows_BRL, occurrence), itself)

    @cached_property
    def within(self) -> list[tuple[Tensor, Tensor]]:
        """Relations within each type, from row to column node, and the attention bias.

        Per type `[B, n, 4, n]`, 0/1 for the relations self, out, in and both; and `[B, n, n]`, the
        bias: 0 where one of them holds, -inf elsewhere.
        """
        return [
            _within(after, after.transpose(1, 2), torch.eye(size, device=after.device))
            for after, size in zip(self.follows, self.sizes, strict=True)
        ]

    @cached_property
    def item_cross_bias_BnX(self) -> Tensor:
        """Bias of heterogeneous attention from each node of type 0, `[B, n, 1 + M]`.

        First to the node itself, always 0; then to the nodes of all other types, 0 where attention
        may look and -inf elsewhere.
        """
        items, *others = self.occurrences
        shares_BnM = _any(items, torch.cat(others, dim=1))
        return _bias(F.pad(shares_BnM, (1, 0), value=1.0))

    @cached_property
    def cross_bias_BNN(self) -> Tensor:
        """Bias of heterogeneous attention: 0 to nodes of other types and to itself, else -inf."""
        shares = self.shares_BNN.clone()
        for t in range(len(self.sizes)):
            shares[:, self.block(t), self.block(t)] = 0
        shares.diagonal(dim1=1, dim2=2).fill_(1)
        return _bias(shares)

    @cached_property
    def relation_BNN(self) -> Tensor:
        """Relation id from row to column node (`mmsr.graph.relations`), uint8 or int16."""
        rows = [
            self._relations(t, occurrence, torch.eye(size, device=occurrence.device))
            for t, (occurrence, size) in enumerate(zip(self.occurrences, self.sizes, strict=True))
        ]
        return torch.cat(rows, dim=1)

    def relations_of(self, queries_BQ: Tensor | None) -> Tensor:
        """The rows of `relation_BNN` for the nodes `queries_BQ` of type 0; None stands for all."""
        if queries_BQ is None:
            return self.relation_BNN
        rows_BQL = take_rows(self.occurrences[0], queries_BQ)
        itself = _one_hot(queries_BQ, self.sizes[0], rows_BQL.dtype)
        return self._relations(0, rows_BQL, itself)

    def relation_bias_of(self, queries_BQ: Tensor | None) -> Tensor:
        """Attention bias `[B, Q, N]`: 0 where `relations_of` has a relation, -inf elsewhere.

        The bias of all nodes is computed once.
        """
        if queries_BQ is None:
            return self._relation_bias_BNN
        return _bias(self.relations_of(queries_BQ))

    @cached_property
    def _relation_bias_BNN(self) -> Tensor:
        return _bias(self.relation_BNN)

    def _relations(self, type_: int, rows_BRL: Tensor, itself: Tensor) -> Tensor:
        """Relations from nodes of one type to all nodes, given where the former occur."""
        n_types = len(self.sizes)
        dtype = torch.uint8 if n_relations(n_types) <= 256 else torch.int16
        relations = []
        for t, occurrence in enumerate(self.occurrences):
            if t == type_:
                after, before = _after(rows_BRL, occurrence), _before(rows_BRL, occurrence)
                steps = OUT * after + IN * before + (BOTH - OUT - IN) * after * before
                relations.append((steps * (1 - itself) + SELF * itself).to(dtype))
            else:
                cross = cross_relation(type_, t, n_types)
                relations.append(cross * _any(rows_BRL, occurrence).to(dtype))
        return torch.cat(relations, dim=2)

    @cached_property
    def degree_BN(self) -> Tensor:
        """Number of other nodes that each node is related to, int64."""
        return (self.relation_BNN > SELF).sum(dim=2)

    def distances(self, limit: int, queries_BQ: Tensor | None) -> Tensor:
        """Steps from the nodes `queries_BQ` of type 0 to all nodes, uint8 `[B, Q, N]`.

        None stands for all nodes, computed once per `limit`. See `shortest_paths`.
        """
        if limit not in self._distances:
            related = (self.relation_BNN > NONE).to(self.occurrences[0].dtype)
            if queries_BQ is not None:
                return shortest_paths(related, limit, queries_BQ)
            self._distances[limit] = shortest_paths(related, limit)
        distances = self._distances[limit]
        return distances if queries_BQ is None else take_rows(distances, queries_BQ)

    @cached_property
    def _distances(self) -> dict[int, Tensor]:
        return {}

    def paths(self, limit: int, queries_BQ: Tensor | None) -> Paths:
        """One shortest path of at most `limit` steps from the nodes `queries_BQ` to each node.

        Of several, it is the one whose last node but one occurs latest (`by_recency`), and so on
        for the node before it. Nodes are as in `distances`.
        """
        if queries_BQ is None and limit in self._paths:
            return self._paths[limit]
        order_BN = by_recency(self.slots, self.sizes, self.lengths)
        distance_BQN = self.distances(limit, queries_BQ)
        n_ids = n_relations(len(self.sizes))
        paths = relations_along_paths(self.relation_BNN, distance_BQN, order_BN, limit, n_ids)
        if queries_BQ is None:
            self._paths[limit] = paths
        return paths

    @cached_property
    def _paths(self) -> dict[int, Paths]:
        return {}


def _bias(related_Bnn: Tensor) -> Tensor:
    """Additive attention mask: 0 where related, -inf elsewhere."""
    bias = torch.zeros(related_Bnn.shape, device=related_Bnn.device)
    return bias.masked_fill_(related_Bnn == 0, -torch.inf)


def _within(after: Tensor, before: Tensor, itself: Tensor) -> tuple[Tensor, Tensor]:
    """Masks `[B, R, 4, n]` of self, out, in and both, and the bias `[B, R, n]` over them."""
    both = after * before
    steps = torch.stack((after - both, before - both, both), dim=2)
    # A node that follows itself has the relation `self` alone.
    steps *= (1 - itself).unsqueeze(-2)
    itself = itself.expand_as(both)
    mask = torch.cat((itself.unsqueeze(2), steps), dim=2)
    return mask, _bias(after + before + itself)


def at_all(graph: BatchGraph, true_BL: Tensor) -> Tensor:
    """Whether all positions of each node of type 0 are true: bool `[B, L]` to `[B, n]`."""
    back_BL = graph.lengths[:, None] - 1 - torch.arange(true_BL.shape[1], device=true_BL.device)
    false_BL = (~true_BL).gather(1, back_BL.clamp(min=0)).to(graph.occurrences[0].dtype)
    return (graph.occurrences[0] @ false_BL[:, :, None])[:, :, 0] == 0


def take_rows(values_BNX: Tensor, rows_BQ: Tensor) -> Tensor:
    """Select rows of each graph: `[B, N, ...]` and row indices `[B, Q]` give `[B, Q, ...]`."""
    batch = torch.arange(rows_BQ.shape[0], device=rows_BQ.device)[:, None]
    return values_BNX[batch, rows_BQ]


def _one_hot(rows_BR: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """`[B, R, size]`, 1 at the column of each row's node; torch's own cannot be exported."""
    return (rows_BR[:, :, None] == torch.arange(size, device=rows_BR.device)).to(dtype)


def _any(first_BnL: Tensor, second_BmL: Tensor) -> Tensor:
    """0/1 `[B, n, m]`: whether the two occur together at any position."""
    return torch.bmm(first_BnL, second_BmL.transpose(1, 2)).clamp_(max=1)


def _after(first_BnL: Tensor, second_BmL: Tensor) -> Tensor:
    """0/1 `[B, n, m]`: whether the second comes right after the first anywhere."""
    # Position 0 is the last, so the one after position p + 1 is position p.
    return _any(first_BnL[:, :, 1:], second_BmL[:, :, :-1])


def _before(first_BnL: Tensor, second_BmL: Tensor) -> Tensor:
    """0/1 `[B, n, m]`: whether the second comes right before the first anywhere."""
    return _any(first_BnL[:, :, :-1], second_BmL[:, :, 1:])

"""Batch graphs: many histories become padded graphs by tensor operations alone.

Shapes: B batch, L history, K links per item, P = 1 + sum of K slots of one position (its item and
the codes of that item), T node types, N nodes of a graph (all type blocks side by side), n nodes
of one type block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import torch
from torch import Tensor

from mmsr.graph.distances import shortest_paths
from mmsr.graph.relations import BOTH, IN, NONE, OUT, SELF, cross_relation

_ABSENT = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class BatchGraph:
    """Graphs of a batch of histories, their nodes grouped in one block per type.

    Nodes of type `t` stand at `block(t)` of the node axis, padded to the longest in the batch.
    A padded node is related to nothing but itself. Relations are held as 0/1 floats, because that
    is what the attention masks are made of; `relation_BNN` spells them out as ids.
    """

    sizes: tuple[int, ...]
    """Width of each type block; type 0 are the items."""
    ids: tuple[Tensor, ...]
    """Per type `[B, n]`: row in the type's embedding table, 0 where padded."""
    real_BN: Tensor
    """Whether a node is one (True) or padding."""
    occurrence_BNL: Tensor
    """Node occurs at this position, counted back from the end of the history."""
    follows: tuple[Tensor, ...]
    """Per type `[B, n, n]`: the column node comes right after the row node somewhere."""
    shares_BNN: Tensor
    """Both nodes occur at one position (of any types, a node with itself included)."""
    last_BK: Tensor
    """Nodes of type 0 at the history's last position; -1 where there are fewer than K."""

    def block(self, type_: int) -> slice:
        """Slice of one type's nodes on the node axis."""
        start = sum(self.sizes[:type_])
        return slice(start, start + self.sizes[type_])

    @cached_property
    def sequential(self) -> tuple[Tensor, ...]:
        """Per type `[B, n, 3, n]`: relation out, in or both, as 0/1, from row to column node."""
        masks = []
        for after in self.follows:
            before = after.transpose(1, 2)
            both = after * before
            mask = torch.stack((after - both, before - both, both), dim=2)
            # A node that follows itself is related by `self` alone.
            mask.diagonal(dim1=1, dim2=3).zero_()
            masks.append(mask)
        return tuple(masks)

    @cached_property
    def within_bias(self) -> tuple[Tensor, ...]:
        """Per type `[B, n, n]`: 0 where homogeneous attention may look, -inf elsewhere."""
        return tuple(_bias(after + after.transpose(1, 2)) for after in self.follows)

    @cached_property
    def cross_bias_BNN(self) -> Tensor:
        """0 where heterogeneous attention may look (other types, self), -inf elsewhere."""
        shares = self.shares_BNN.clone()
        for t in range(len(self.sizes)):
            shares[:, self.block(t), self.block(t)] = 0
        return _bias(shares)

    @cached_property
    def relation_BNN(self) -> Tensor:
        """uint8 relation id from row node to column node (see `mmsr.graph.relations`)."""
        relation = torch.full_like(self.shares_BNN, NONE, dtype=torch.uint8)
        for t, mask in enumerate(self.sequential):
            ids = mask.new_tensor((OUT, IN, BOTH))
            relation[:, self.block(t), self.block(t)] = torch.einsum("bnrm,r->bnm", mask, ids).to(
                torch.uint8
            )
        for a, b in permutations(range(len(self.sizes)), 2):
            shared = self.shares_BNN[:, self.block(a), self.block(b)]
            id_ = cross_relation(a, b, len(self.sizes))
            relation[:, self.block(a), self.block(b)] = (shared * id_).to(torch.uint8)
        relation.diagonal(dim1=1, dim2=2).fill_(SELF)
        return relation

    @cached_property
    def neighbours_BNN(self) -> Tensor:
        """0/1: the two nodes are related in any way; no node is its own neighbour."""
        neighbours = self.shares_BNN.clone()
        for t, after in enumerate(self.follows):
            within = (after + after.transpose(1, 2)).clamp_(max=1)
            neighbours[:, self.block(t), self.block(t)] = within
        neighbours.diagonal(dim1=1, dim2=2).zero_()
        return neighbours

    @cached_property
    def related_BNN(self) -> Tensor:
        """0/1: the same, but every node is related to itself."""
        related = self.neighbours_BNN.clone()
        related.diagonal(dim1=1, dim2=2).fill_(1)
        return related

    @cached_property
    def related_bias_BNN(self) -> Tensor:
        """0 where nodes are related in any way (itself included), -inf elsewhere."""
        return _bias(self.neighbours_BNN)

    @cached_property
    def relation_mean_BNN(self) -> Tensor:
        """1 over the number of the row node's neighbours in the same relation, 0 elsewhere."""
        mean = self.shares_BNN.clone()
        for a, b in permutations(range(len(self.sizes)), 2):
            mean[:, self.block(a), self.block(b)] = _normalised(
                self.shares_BNN[:, self.block(a), self.block(b)]
            )
        for t, mask in enumerate(self.sequential):
            mean[:, self.block(t), self.block(t)] = _normalised(mask).sum(dim=2)
        mean.diagonal(dim1=1, dim2=2).fill_(1)
        return mean

    def distances(self, limit: int) -> Tensor:
        """uint8 `[B, N, N]` steps from node to node: see `shortest_paths`; made once per limit."""
        if limit not in self._distances:
            self._distances[limit] = shortest_paths(self.related_BNN, limit)
        return self._distances[limit]

    @cached_property
    def _distances(self) -> dict[int, Tensor]:
        return {}


def _normalised(mask: Tensor) -> Tensor:
    return mask / mask.sum(dim=-1, keepdim=True).clamp(min=1)


def _bias(related_Bnn: Tensor) -> Tensor:
    """Additive attention mask: 0 on the diagonal and where related, -inf elsewhere."""
    bias = torch.zeros_like(related_Bnn).masked_fill_(related_Bnn == 0, -torch.inf)
    bias.diagonal(dim1=1, dim2=2).zero_()
    return bias


def build_batch_graph(
    histories_BL: Tensor, links: Sequence[Tensor], *, with_items: bool = True
) -> BatchGraph:
    """Build the graphs of a batch of histories.

    Parameters
    ----------
    histories_BL : int64 `[B, L]` item indices, oldest first, -1 behind the end; no row is empty.
    links : per modality int64 `[I, K]`, the codes of every item, -1 where an item has fewer.
    with_items : False leaves the item nodes out (late fusion's graph of one modality); type 0 are
        then the codes of the first modality.

    Returns
    -------
    BatchGraph on the device of `histories_BL`. Items without codes in a modality have no code
    nodes there.
    """
    present = histories_BL >= 0
    items = histories_BL.clamp(min=0)
    slots = [histories_BL[:, :, None]] if with_items else []
    slots += [link[items].masked_fill_(~present[:, :, None], -1) for link in links]
    located = [_locate(slot) for slot in slots]
    sizes = tuple(ids.shape[1] for ids, _, _ in located)
    real_BN = torch.cat([real for _, real, _ in located], dim=1)
    lengths = present.sum(dim=1)
    occurrences = [
        _occurrence(at, lengths, size) for (_, _, at), size in zip(located, sizes, strict=True)
    ]
    occurrence_BNL = torch.cat(occurrences, dim=1)
    return BatchGraph(
        sizes=sizes,
        ids=tuple(ids for ids, _, _ in located),
        real_BN=real_BN,
        occurrence_BNL=occurrence_BNL,
        # Position 0 is the last, so what follows position p + 1 stands at position p.
        follows=tuple(_any(o[:, :, 1:], o[:, :, :-1]) for o in occurrences),
        shares_BNN=_any(occurrence_BNL, occurrence_BNL),
        last_BK=_slots_at(located[0][2], lengths - 1),
    )


def _slots_at(slots_BLK: Tensor, position_B: Tensor) -> Tensor:
    """Slots `[B, K]` of one position of each history."""
    return slots_BLK[torch.arange(len(slots_BLK), device=slots_BLK.device), position_B]


def _locate(slots_BLK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct entries of each row: their ids `[B, n]`, which are real, each slot's place or -1."""
    B = slots_BLK.shape[0]
    flat = slots_BLK.reshape(B, -1)
    ordered, order = flat.masked_fill(flat < 0, _ABSENT).sort(dim=1)
    fresh = torch.ones_like(ordered, dtype=torch.bool)
    torch.ne(ordered[:, 1:], ordered[:, :-1], out=fresh[:, 1:])
    place = fresh.cumsum(dim=1) - 1
    absent = ordered == _ABSENT
    counts = (fresh & ~absent).sum(dim=1)
    n = max(int(counts.max()), 1)
    ids = ordered.new_zeros(B, n + 1).scatter_(
        1, place.masked_fill(absent, n), ordered.masked_fill(absent, 0)
    )[:, :n]
    real = torch.arange(n, device=flat.device) < counts[:, None]
    at = torch.empty_like(place).scatter_(1, order, place.masked_fill_(absent, -1))
    return ids, real, at.reshape(slots_BLK.shape)


def _occurrence(at_BLK: Tensor, lengths: Tensor, n_nodes: int) -> Tensor:
    """Where each node of a type occurs `[B, n, L]`; position 0 is the history's last."""
    B, L, K = at_BLK.shape
    back_BL = (lengths[:, None] - 1 - torch.arange(L, device=at_BLK.device)).clamp_(min=0)
    cell = (at_BLK * L + back_BL[:, :, None]).masked_fill_(at_BLK < 0, n_nodes * L)
    occurrence = torch.zeros(B, n_nodes * L + 1, device=at_BLK.device)
    occurrence.scatter_(1, cell.reshape(B, L * K), 1.0)
    return occurrence[:, :-1].view(B, n_nodes, L)


def _any(first_BnL: Tensor, second_BmL: Tensor) -> Tensor:
    """0/1 `[B, n, m]`: whether the two occur together at any position."""
    return torch.bmm(first_BnL, second_BmL.transpose(1, 2)).clamp_(max=1)

"""One shortest path between any two nodes, as the relations along it.

Shapes: B graphs, N nodes, R nodes to start from, L history, K links per item, P distinct paths,
X paths of at most that many steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsr.graph.relations import NONE, SELF

_PLACES = 60
"""Powers of 4 that fit into the range of float32."""


@dataclass(frozen=True)
class Paths:
    """Paths from some nodes to all others. Most are alike, so each kind is described once."""

    kind_BRN: Tensor
    """Kind of each path, int64 in [0, P)."""
    distance_P: Tensor
    """Steps of each kind, as `shortest_paths` counts them, int64."""
    relations_PX: Tensor
    """Relation ids from the last step of a path to its first, int64, and NONE from there on. Kinds
    of no step, of more than X, and without a path have NONE alone."""


def relations_along_paths(
    relation_BNN: Tensor, distance_BRN: Tensor, order_BN: Tensor, limit: int, n_relations: int
) -> Paths:
    """Find the relations along one shortest path between any two nodes.

    Parameters
    ----------
    relation_BNN : relation ids from the row to the column node (`BatchGraph.relation_BNN`).
    distance_BRN : what `shortest_paths` returns for these relations and `limit`.
    order_BN : the nodes of each graph, int64, the preferred ones first; see `last_steps`.
    limit : X, most steps of a path.
    n_relations : number of relation ids.
    """
    related_BNN = (relation_BNN > SELF).to(torch.float32)
    before_BRN = last_steps(related_BNN, distance_BRN, order_BN, limit)
    last_BRN = relation_BNN.gather(1, before_BRN).long()
    last_BRN = last_BRN.masked_fill_(last_BRN == SELF, NONE)
    columns, node_BRN = [distance_BRN.long(), last_BRN], before_BRN
    for _ in range(limit - 1):
        columns.append(last_BRN.gather(2, node_BRN))
        node_BRN = before_BRN.gather(2, node_BRN)
    kind_BRN, kinds_PX = _distinct(columns, [limit + 2] + [n_relations] * limit)
    return Paths(kind_BRN, kinds_PX[:, 0], kinds_PX[:, 1:])


def last_steps(related_BNN: Tensor, distance_BRN: Tensor, order_BN: Tensor, limit: int) -> Tensor:
    """Choose one shortest path between any two nodes, and name the node before its end.

    Of all nodes that are one step nearer to the start, and related to the end, it is the first in
    the given order. So the path to that node is itself the one that is chosen for it.

    Parameters
    ----------
    related_BNN : 0/1 floats, 1 where one step leads from the row to the column node.
    distance_BRN : what `shortest_paths` returns for `related_BNN` and `limit`.
    order_BN : the nodes of each graph, int64, the preferred ones first.
    limit : most steps of a path.

    Returns
    -------
    int64 `[B, R, N]`: the node before the end (the column) on the path from the start (the row);
    the column itself where there is no path of 1 to `limit` steps.
    """
    R, N = distance_BRN.shape[1:]
    order_BRN = order_BN[:, None].expand(-1, R, -1)
    ordered_BRN = distance_BRN.gather(2, order_BRN)
    # Different powers of 4 add up to less than the next one, so a sum tells its largest term.
    places_N = torch.arange(N, device=order_BN.device)
    powers_N = torch.ldexp(related_BNN.new_ones(N), -2 * (places_N % _PLACES))
    onward_BNN = related_BNN.gather(1, order_BN[:, :, None].expand(-1, -1, N)) * powers_N[:, None]
    place_BRN = torch.full_like(distance_BRN, -1, dtype=torch.int32)
    for steps in range(1, limit + 1):
        nearer_BRN = (ordered_BRN == steps - 1).to(related_BNN.dtype)
        at_BRN = distance_BRN == steps
        for first in reversed(range(0, N, _PLACES)):
            part = slice(first, first + _PLACES)
            sums_BRN = torch.bmm(nearer_BRN[:, :, part], onward_BNN[:, part])
            largest_BRN = torch.frexp(sums_BRN).exponent.sub_(1).div_(-2, rounding_mode="trunc")
            place_BRN = torch.where(at_BRN & (sums_BRN > 0), largest_BRN.add_(first), place_BRN)
    node_BRN = order_BRN.gather(2, place_BRN.clamp(min=0).long())
    return torch.where(place_BRN < 0, places_N, node_BRN)


def by_recency(slots: Sequence[Tensor], sizes: Sequence[int], lengths: Tensor) -> Tensor:
    """Nodes of a batch graph from the latest occurrence to the oldest; padding comes last.

    At one position, items come before codes, and codes in the order of the item's links: those of
    one modality together, the nearest first.

    Parameters
    ----------
    slots, sizes, lengths : those of the `BatchGraph`.

    Returns
    -------
    int64 `[B, N]`.
    """
    width, start, keys = sum(slot.shape[2] for slot in slots), 0, []
    for slot_BLK, size in zip(slots, sizes, strict=True):
        B, L, K = slot_BLK.shape
        back_BL = lengths[:, None] - 1 - torch.arange(L, device=lengths.device)
        key_BLK = back_BL[:, :, None] * width + start + torch.arange(K, device=lengths.device)
        place_BX = slot_BLK.masked_fill(slot_BLK < 0, size).flatten(1)
        key_Bn = lengths.new_full((B, size + 1), L * width)
        keys.append(key_Bn.scatter_reduce(1, place_BX, key_BLK.flatten(1), "amin")[:, :size])
        start += K
    return torch.cat(keys, dim=1).argsort(dim=1, stable=True)


def _distinct(columns: Sequence[Tensor], sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Distinct rows of a table of small numbers, without sorting it.

    Parameters
    ----------
    columns : int64 of one shape, each in [0, its size).
    sizes : how many values each column can have.

    Returns
    -------
    For each row the number of the distinct row that it equals; and the distinct rows `[P, X]`.
    """
    ids = torch.zeros_like(columns[0])
    rows_PX = ids.new_empty(1, 0)
    for column, size in zip(columns, sizes, strict=True):
        codes = ids * size + column
        seen = torch.zeros(len(rows_PX) * size, dtype=torch.bool, device=ids.device)
        seen[codes.flatten()] = True
        ids = (seen.cumsum(0) - 1)[codes]
        found_P = seen.nonzero().flatten()
        rows_PX = torch.cat((rows_PX[found_P // size], (found_P % size)[:, None]), dim=1)
    return ids, rows_PX

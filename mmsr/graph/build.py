"""Building batch graphs: from histories of items and their links to padded graphs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmsr.graph.batch import BatchGraph

_ABSENT = torch.iinfo(torch.int64).max


def build_batch_graph(
    histories_BL: Tensor,
    links: Sequence[Tensor],
    *,
    with_items: bool = True,
    lost: Sequence[Tensor | None] | None = None,
) -> BatchGraph:
    """Build the graphs of a batch of histories.

    Parameters
    ----------
    histories_BL : int64 `[B, L]` item indices, oldest first, -1 behind the end; no row is empty.
    links : per modality int64 `[I, K]`, the codes of every item, -1 where an item has fewer.
    with_items : False leaves the item nodes out (late fusion's graph of one modality); type 0 are
        then the codes of the first modality.
    lost : per modality bool `[B, L]` or `[B, 1]`, True where items lose their codes; None: nowhere.
        A repeated item has the codes of any of its positions.

    Returns
    -------
    BatchGraph on the device of `histories_BL`. Items without codes in a modality have no code
    nodes there.
    """
    present = histories_BL >= 0
    items = histories_BL.clamp(min=0)
    slots = [histories_BL[:, :, None]] if with_items else []
    for link, lost_BL in zip(links, lost or [None] * len(links), strict=True):
        absent = ~present if lost_BL is None else ~present | lost_BL
        slots.append(link[items].masked_fill_(absent[:, :, None], -1))
    located = [_locate(slot) for slot in slots]
    sizes = tuple(ids.shape[1] for ids, _, _ in located)
    real_BN = torch.cat([real for _, real, _ in located], dim=1)
    lengths = present.sum(dim=1)
    occurrences = [
        _occurrence(at, lengths, size) for (_, _, at), size in zip(located, sizes, strict=True)
    ]
    return BatchGraph(
        sizes=sizes,
        ids=tuple(ids for ids, _, _ in located),
        real_BN=real_BN,
        occurrences=tuple(occurrences),
        slots=tuple(at for _, _, at in located),
        lengths=lengths,
        same_everywhere=not any(one is not None and one.shape[1] > 1 for one in lost or ()),
    )


def _locate(slots_BLK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes of each history: ids `[B, n]`, whether they are real, and each slot's place or -1."""
    B = slots_BLK.shape[0]
    flat = slots_BLK.reshape(B, -1)
    ordered, order = flat.masked_fill(flat < 0, _ABSENT).sort(dim=1)
    fresh = torch.ones_like(ordered, dtype=torch.bool)
    torch.ne(ordered[:, 1:], ordered[:, :-1], out=fresh[:, 1:])
    place = fresh.cumsum(dim=1) - 1
    absent = ordered == _ABSENT
    counts = (fresh & ~absent).sum(dim=1)
    # An exported graph has one shape for all contents, so that its blocks are as wide as they get.
    n = flat.shape[1] if torch.compiler.is_exporting() else max(int(counts.max()), 1)
    ids = ordered.new_zeros(B, n + 1).scatter_(
        1, place.masked_fill(absent, n), ordered.masked_fill(absent, 0)
    )[:, :n]
    real = torch.arange(n, device=flat.device) < counts[:, None]
    at = torch.empty_like(place).scatter_(1, order, place.masked_fill_(absent, -1))
    return ids, real, at.reshape(slots_BLK.shape)


def _occurrence(at_BLK: Tensor, lengths: Tensor, n_nodes: int) -> Tensor:
    """Where each node of a type occurs, 0/1 `[B, n, L]`; position 0 is the history's last."""
    B, L, _ = at_BLK.shape
    back_BL = (lengths[:, None] - 1 - torch.arange(L, device=at_BLK.device)).clamp_(min=0)
    cell = (at_BLK * L + back_BL[:, :, None]).masked_fill_(at_BLK < 0, n_nodes * L)
    occurrence = torch.zeros(B, n_nodes + 1, L, device=at_BLK.device)
    occurrence.flatten(1).scatter_(1, cell.flatten(1), 1.0)
    return occurrence[:, :-1]

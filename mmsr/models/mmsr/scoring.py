"""Scoring: the item vectors that user vectors are compared with (eq. 7)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsr.models.mmsr.embedding import NodeTables


def item(tables: NodeTables, items: Tensor | None = None) -> Tensor:
    """The item embeddings (eq. 7).

    Parameters
    ----------
    tables : the model's embeddings.
    items : int64 `[n]`, indices of some items; None stands for all.

    Returns
    -------
    `[n, D]`, or `[I, D]` for all items.
    """
    return tables.item if items is None else F.embedding(items, tables.item)


def item_and_codes(tables: NodeTables, items: Tensor | None = None) -> Tensor:
    """Item embedding plus, per modality, the mean embedding of the item's codes.

    What histories teach about a code then helps all of its items, including rare and new ones. Not
    in the paper.

    Parameters
    ----------
    tables : the model's embeddings and links.
    items : as in `item`.

    Returns
    -------
    `[n, D]`, or `[I, D]` for all items.
    """
    if items is not None:
        vectors = item(tables, items)
        for modality in tables.modalities:
            vectors = vectors + tables.mean_of_codes(modality, items)
        return vectors
    if not tables.modalities:
        return tables.item
    shares = torch.cat([tables.code_shares(m) for m in tables.modalities], dim=1)
    codes = torch.cat([tables.codes[m] for m in tables.modalities])
    return torch.addmm(tables.item, shares, codes)


SCORINGS: dict[str, Callable[[NodeTables, Tensor | None], Tensor]] = {
    "item": item,
    "item_and_codes": item_and_codes,
}

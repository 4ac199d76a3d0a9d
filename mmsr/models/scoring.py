"""Scoring: the item vectors that user vectors are compared with (eq. 7)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmsr.models.embedding import NodeTables


def item(tables: NodeTables) -> Tensor:
    """The item embeddings (eq. 7).

    Parameters
    ----------
    tables : the model's embeddings.

    Returns
    -------
    `[I, D]`.
    """
    return tables.item


def item_and_codes(tables: NodeTables) -> Tensor:
    """Item embedding plus, per modality, the mean embedding of the item's codes.

    What histories teach about a code then helps all of its items, including rare and new ones. Not
    in the paper.

    Parameters
    ----------
    tables : the model's embeddings and links.

    Returns
    -------
    `[I, D]`.
    """
    if not tables.modalities:
        return tables.item
    shares = torch.cat([tables.code_shares(m) for m in tables.modalities], dim=1)
    codes = torch.cat([tables.codes[m] for m in tables.modalities])
    return torch.addmm(tables.item, shares, codes)


SCORINGS: dict[str, Callable[[NodeTables], Tensor]] = {
    "item": item,
    "item_and_codes": item_and_codes,
}

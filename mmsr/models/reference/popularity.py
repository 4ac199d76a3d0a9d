"""Popularity: everybody is recommended the same items."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from mmsr.data.splits import Prefixes
from mmsr.models.reference.base import ReferenceModel
from mmsr.models.reference.interactions import interaction_counts
from mmsr.models.reference.settings import PopularitySettings


class Popularity(ReferenceModel):
    """The score of an item is its number of interactions, repeated ones included.

    Parameters
    ----------
    counts_I : interactions of each item, `[I]`.
    """

    def __init__(self, counts_I: Tensor) -> None:
        self.counts_I = counts_I

    @classmethod
    def fit(
        cls, prefixes: Prefixes, n_items: int, settings: PopularitySettings | None = None
    ) -> Self:
        """Count interactions.

        Parameters
        ----------
        prefixes : of the part of the data to learn from.
        n_items : size of the catalogue.
        settings : there are none.
        """
        # float32 holds whole numbers up to 2^24 only.
        counts_I = interaction_counts(prefixes, n_items).sum(axis=0, dtype="float64")
        return cls(torch.from_numpy(counts_I))

    def scores(self, histories_BL: Tensor) -> Tensor:
        """Scores `[B, I]`, float64; see `ReferenceModel.scores`."""
        return self.counts_I.repeat(len(histories_BL), 1)

"""Feature vectors of items, for models that read them as they are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mmsr.models.inputs import ItemFeatures
from mmsr.models.modalities import ItemModalities


class FeatureTables(ItemModalities):
    """Frozen feature vectors by modality; they come from the data set, not from checkpoints.

    On a CPU they are the data set's mapped file itself, which all processes of a node share.

    Parameters
    ----------
    features : the vectors of each modality.
    """

    def __init__(self, features: Mapping[str, ItemFeatures]) -> None:
        super().__init__({name: f.links for name, f in features.items()})
        for name, f in features.items():
            with warnings.catch_warnings():  # mapped files are read-only, and nobody writes to them
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")
                vectors = torch.from_numpy(f.vectors)
            self.register_buffer(_buffer(name), vectors, persistent=False)

    def width(self, modality: str) -> int:
        """Width of the vectors of `modality`."""
        return self.get_buffer(_buffer(modality)).shape[1]

    def vectors(self, modality: str, items: Tensor | None, lost: Tensor | None = None) -> Tensor:
        """Feature vectors of items.

        Parameters
        ----------
        modality : name of the modality.
        items : int64 item indices of any shape, none of them negative; None stands for all items.
        lost : bool that broadcasts to that shape, True where an item loses the modality
            (`ItemModalities.lost`); None stands for no item.

        Returns
        -------
        float32 `[..., F]`, zeros for items without this modality.
        """
        links = self.links(modality)[:, 0]
        rows = links if items is None else links[items]
        there = rows >= 0 if lost is None else (rows >= 0) & ~lost
        found = F.embedding(rows.clamp(min=0), self.get_buffer(_buffer(modality)))
        return found * there[..., None]


def root_mean_square_length(vectors: NDArray[np.float32]) -> float:
    """Root of the mean squared Euclidean length of vectors; 1 where that is 0.

    Parameters
    ----------
    vectors : `[n, F]`.
    """
    squares = np.einsum("nf,nf->n", vectors, vectors)
    mean = float(squares.mean(dtype=np.float64)) if len(squares) else 0.0
    return mean**0.5 or 1.0


def _buffer(modality: str) -> str:
    return f"vectors_{modality.replace('.', '_')}"

"""The interface of reference models."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from mmsr.models.reference.interactions import multi_hot


class ReferenceModel(ABC):
    """Scores items without having been trained by gradients.

    It is no `SequentialRecommender`: its scores have no factors narrower than the catalogue, and
    nothing about it is drawn, saved or tuned.
    """

    @abstractmethod
    def scores(self, histories_BL: Tensor) -> Tensor:
        """Score all items for each history.

        Parameters
        ----------
        histories_BL : int64 `[B, L]` item indices, -1 behind the end.

        Returns
        -------
        A new tensor `[B, I]` on the CPU, higher is better.
        """


class ItemToItem(ReferenceModel):
    """The score of an item is the sum of the weights from the distinct items of the history.

    Parameters
    ----------
    weights_II : float32 `[I, I]`, sparse or dense; row: item of the history, column: scored item.
    """

    def __init__(self, weights_II: csr_array | NDArray[np.float32]) -> None:
        self.weights_II = weights_II

    def scores(self, histories_BL: Tensor) -> Tensor:
        """Scores `[B, I]`, float32; see `ReferenceModel.scores`."""
        scores = multi_hot(histories_BL.cpu().numpy(), self.weights_II.shape[0]) @ self.weights_II
        return torch.from_numpy(scores if isinstance(scores, np.ndarray) else scores.toarray())

"""What the training loop and the evaluation know of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class SequentialRecommender(nn.Module, ABC):
    """A model that turns histories into user vectors and scores them against item vectors."""

    @abstractmethod
    def user_vectors(self, histories_BL: Tensor) -> Tensor:
        """User vectors `[B, D]` of int64 histories, oldest first, -1 behind the end."""

    @abstractmethod
    def item_vectors(self) -> Tensor:
        """Item vectors `[I, D]`; the score of a user and an item is their dot product (eq. 7)."""

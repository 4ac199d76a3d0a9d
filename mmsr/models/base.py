"""The interface of models that training and evaluation rely on."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class SequentialRecommender(nn.Module, ABC):
    """A model that turns histories into user vectors and scores them against item vectors."""

    @abstractmethod
    def user_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories as user vectors.

        Parameters
        ----------
        histories_BL : int64 `[B, L]` item indices, oldest first, -1 behind the end.

        Returns
        -------
        `[B, D]`, on the model's device.
        """

    @abstractmethod
    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Item vectors; the score of a user and an item is their dot product (eq. 7).

        Parameters
        ----------
        items : int64 `[n]`, indices of some items; None stands for all, in order.

        Returns
        -------
        `[n, D]`, or `[I, D]` for all items.
        """

    @property
    @abstractmethod
    def n_items(self) -> int:
        """Size of the catalogue, I."""

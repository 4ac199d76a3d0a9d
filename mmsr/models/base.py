"""The interface of models that training and evaluation rely on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.config.base import ModelConfig
from mmsr.models.inputs import ModelInputs
from mmsr.models.modalities import ItemModalities


class SequentialRecommender(nn.Module, ABC):
    """A model that turns histories into user vectors and scores them against item vectors."""

    Settings: ClassVar[type[ModelConfig]]
    """Its settings: the keys under `model`."""
    tables: ItemModalities
    """Which items have which modalities; a model of ids alone has an empty one."""
    n_items: int
    """Size of the catalogue, I."""

    @classmethod
    @abstractmethod
    def build(cls, config: Config, inputs: ModelInputs) -> Self:
        """Make the model that a config describes; its weights are drawn by torch's generator.

        Parameters
        ----------
        config : the whole config; `config.model` is of the class `Settings`.
        inputs : what the model may know of the data set.
        """

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

    def auxiliary_loss(self, users_ND: Tensor, targets_N: Tensor) -> Tensor | None:
        """What the model's definition adds to the loss of `training.loss`; None for nothing.

        Parameters
        ----------
        users_ND : the user vectors of a training step.
        targets_N : int64, item index of each target.
        """
        return None


class CausalRecommender(SequentialRecommender):
    """A model whose vector at a position depends on no later item.

    So one pass over a history gives the user vectors of all its prefixes, and training uses them
    all.
    """

    @abstractmethod
    def sequence_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories at all positions.

        Parameters
        ----------
        histories_BL : as in `user_vectors`.

        Returns
        -------
        `[B, L, D]`: at position l, the user vector after the items 0 … l. What stands at padding is
        finite, and not used.
        """

    def user_vectors(self, histories_BL: Tensor) -> Tensor:
        """User vectors of whole histories, `[B, D]`; see `SequentialRecommender.user_vectors`."""
        vectors_BLD = self.sequence_vectors(histories_BL)
        last_B = (histories_BL >= 0).sum(dim=1) - 1
        return vectors_BLD[torch.arange(len(last_B), device=last_B.device), last_B]

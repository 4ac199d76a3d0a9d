"""The interface of models that training and evaluation rely on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.config.base import ModelConfig
from mmsr.models.inputs import ModelInputs
from mmsr.models.modalities import ItemModalities


class Attention(NamedTuple):
    """How a model's attention shares itself out over what it reads of a history.

    The sum is one; with late fusion it is less where a channel has nothing to read: its share is
    no item's.
    """

    items: Mapping[int, float]
    """Share of each item, by its index."""
    codes: Mapping[str, Mapping[int, float]]
    """Share of each code, by modality and by its index."""


class Recommender(nn.Module, ABC):
    """A model that scores user vectors against item vectors.

    Derive a model from one of the subclasses: they say what user vectors are made of.
    """

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
    def user_vectors(self, given: Tensor, /) -> Tensor:
        """Make user vectors.

        Parameters
        ----------
        given : histories, or indices of users: the subclass says which.

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

    def prepared(self) -> AbstractContextManager[None]:
        """Context of one set of weights: what all vectors have in common is computed once in it."""
        return nullcontext()

    def own_loss(self, given: Tensor, targets: Tensor) -> Tensor:
        """The loss of the model's own definition, where `training.loss.name` is `own`.

        Parameters
        ----------
        given : what a training step gives `user_vectors`, B of them.
        targets : int64 `[B]`, item index of each target.

        Returns
        -------
        The mean loss of the batch, a scalar.

        Raises
        ------
        NotImplementedError : the definition has none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no loss of its own")

    def attention(self, history_L: Tensor) -> Attention | None:
        """What the model's attention reads of one history, in evaluation mode.

        Parameters
        ----------
        history_L : int64 `[L]` item indices, oldest first.

        Returns
        -------
        The shares; None for a model without attention, or whose shares cannot be told.
        """
        return None

    def auxiliary_loss(self, users_ND: Tensor, targets_N: Tensor) -> Tensor | None:
        """What the model's definition adds to the loss of `training.loss`; None for nothing.

        Parameters
        ----------
        users_ND : the user vectors of a training step.
        targets_N : int64, item index of each target.
        """
        return None


class SequentialRecommender(Recommender):
    """A model that makes user vectors of histories."""

    @abstractmethod
    def user_vectors(self, histories_BL: Tensor, /) -> Tensor:
        """Encode histories as user vectors.

        Parameters
        ----------
        histories_BL : int64 `[B, L]` item indices, oldest first, -1 behind the end.

        Returns
        -------
        `[B, D]`, on the model's device.
        """


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

    def user_vectors(self, histories_BL: Tensor, /) -> Tensor:
        """User vectors of whole histories, `[B, D]`; see `SequentialRecommender.user_vectors`."""
        vectors_BLD = self.sequence_vectors(histories_BL)
        last_B = (histories_BL >= 0).sum(dim=1) - 1
        return vectors_BLD[torch.arange(last_B.shape[0], device=last_B.device), last_B]


class Propagated(NamedTuple):
    """Vectors of all users and items, as a graph gives them."""

    users: Tensor
    """`[U, D]`."""
    items: Tensor
    """`[I, D]`."""


class CollaborativeRecommender(Recommender):
    """A model that knows the users, by whom interacted with what in the part it is trained on.

    The order of interactions plays no role, nor do those after that part: a user's vector is the
    same at all targets.
    """

    _at_hand: tuple[Propagated, Propagated] | None = None

    @abstractmethod
    def propagate(self, losing: bool) -> Propagated:
        """Compute the vectors of all users and items.

        Parameters
        ----------
        losing : whether items lose modalities as `ItemModalities.losing` says; the graph is then
            one history of all items, in their order.
        """

    def head(self, vectors_ND: Tensor) -> Tensor:
        """What is done to vectors of users and items before they are compared; nothing here."""
        return vectors_ND

    def user_vectors(self, users_B: Tensor, /) -> Tensor:
        """Vectors of users.

        Parameters
        ----------
        users_B : int64 `[B]`, indices of users.

        Returns
        -------
        `[B, D]`, on the model's device.
        """
        return self.head(self.vectors()[0].users[users_B])

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Item vectors, which keep their modalities; see `Recommender.item_vectors`."""
        vectors_ID = self.vectors()[1].items
        return self.head(vectors_ID if items is None else vectors_ID[items])

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Context in which the graph is propagated once; see `Recommender.prepared`."""
        self._at_hand = self.vectors()
        try:
            yield
        finally:
            self._at_hand = None

    def vectors(self) -> tuple[Propagated, Propagated]:
        """Vectors of what users are made of, and of what is scored.

        They are the same unless items lose modalities. Inside `prepared`, they are at hand.
        """
        if self._at_hand is not None:
            return self._at_hand
        read = self.propagate(losing=True)
        return read, self.propagate(losing=False) if self.tables.is_losing else read

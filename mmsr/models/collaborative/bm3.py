"""BM3: bootstrapped multi-modal recommendation, without negatives (Zhou et al., WWW 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.config.base import ModelConfig
from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice, Float, Int
from mmsr.models.base import CollaborativeRecommender, Propagated
from mmsr.models.collaborative.channels import BATCH_SIZES, FeatureMap, lost_items
from mmsr.models.collaborative.graph import UserItemGraph
from mmsr.models.dropout import dropout
from mmsr.models.features import FeatureTables
from mmsr.models.inputs import ModelInputs
from mmsr.models.products import product
from mmsr.models.spaces import FULL_SOFTMAX, training_space


class Bm3Config(ModelConfig):
    """BM3 (Zhou et al., 2023)."""

    modalities_as = "features"
    has_own_loss = True

    name: str = "bm3"
    """Which model."""
    width: int = Field(default=64, ge=1)
    """Width of embeddings, mapped features, and user vectors."""
    layers: int = Field(default=1, ge=0, le=16)
    """Number of times that vectors are propagated."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout on targets, which makes them another view of what they are compared with."""
    alignment: float = Field(default=2.0, ge=0)
    """Weight of the loss that aligns mapped features with items and with themselves."""
    regularisation: float = Field(default=0.1, ge=0)
    """Weight of the Frobenius norms of all users' and of all items' vectors, divided by the number
    of items."""

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """Width, layers, dropout, weights of the losses' parts and optimisation."""
        return {
            "model.width": Choice(64, 128, 256),
            "model.layers": Int(0, 3),
            "model.dropout": Float(0.0, 0.6, step=0.1),
            "model.alignment": Choice(0.0, 0.1, 0.5, 1.0, 2.0),
            "model.regularisation": Choice(0.0, 0.001, 0.01, 0.1),
            **training_space("own", "softmax", "sampled_softmax", "bpr", batches=BATCH_SIZES),
        }

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """The best of the authors' grid on sparse data; the same with softmax."""
        authors = {
            "model.width": 64,
            "model.layers": 1,
            "model.dropout": 0.3,
            "model.alignment": 2.0,
            "model.regularisation": 0.1,
            "training.learning_rate": 1e-3,
            "training.batch_size": 2048,
            "training.averaging": 0.0,
            "training.loss.name": "own",
        }
        softmax = {"model.regularisation": 0.0, "model.alignment": 0.1, **FULL_SOFTMAX}
        return authors, {**authors, **softmax}


class BM3(CollaborativeRecommender):
    """BM3: embeddings of users and items, smoothed over the graph; a linear predictor of one
    another, in place of negatives; and features that are aligned with items.

    The loss of its own, `training.loss.name=own`, compares predictions with targets, which pass
    dropout and no gradient: a user with the item, the item with the user, and an item's mapped
    features with the item and with themselves (`alignment`, a mean over the batch's items that have
    the modality). Norms of all vectors are added (`regularisation`). With another loss, alignment
    and regularisation stay, and it takes the place of user with item and item with user. Features
    are not read when items are ranked: they act on training alone, so nothing changes where a
    modality is missing later.

    Deviations from the authors' code:

    - Features are fixed; there they are trained, too. They are divided by the root mean square
      length of the modality's vectors.
    - Every comparison draws its target's dropout anew; there an item's target is drawn once.
    - An item without a modality is not aligned; there every item has all.
    - An item that a user had more than once is one edge.

    Parameters
    ----------
    settings : the model's settings.
    inputs : size of the catalogue, interactions and feature vectors.
    """

    Settings = Bm3Config
    tables: FeatureTables

    def __init__(self, settings: Bm3Config, inputs: ModelInputs) -> None:
        super().__init__()
        self.tables, self.n_items = FeatureTables(inputs.features), inputs.n_items
        self.settings = settings
        self.graph = UserItemGraph(inputs.interactions, inputs.n_items)
        users = torch.empty(self.graph.n_users, settings.width)
        items = torch.empty(inputs.n_items, settings.width)
        self.users = nn.Parameter(nn.init.xavier_uniform_(users))
        self.items = nn.Parameter(nn.init.xavier_uniform_(items))
        self.predictor = nn.Linear(settings.width, settings.width)
        nn.init.xavier_normal_(self.predictor.weight)
        self.maps = nn.ModuleList(
            FeatureMap(name, features, settings.width) for name, features in inputs.features.items()
        )

    @classmethod
    def build(cls, config: Config, inputs: ModelInputs) -> Self:
        """Make the model that a config describes; see `Recommender.build`."""
        return cls(config.model_as(Bm3Config), inputs)

    def propagate(self, losing: bool) -> Propagated:
        """Vectors of all users and items, before the predictor; they read no features.

        The mean over all layers, and the item's own embedding once more; see
        `CollaborativeRecommender.propagate`.
        """
        x_ND = torch.cat((self.users, self.items))
        total_ND = x_ND
        for _ in range(self.settings.layers):
            x_ND = self.graph.smoothed(x_ND)
            total_ND = total_ND + x_ND
        mean_ND = total_ND / (self.settings.layers + 1)
        users_UD, items_ID = mean_ND.tensor_split([self.graph.n_users])
        return Propagated(users_UD, items_ID + self.items)

    def head(self, vectors_ND: Tensor) -> Tensor:
        """The predictor; see `CollaborativeRecommender.head`."""
        return product(vectors_ND, self.predictor.weight.T) + self.predictor.bias

    def own_loss(self, users_B: Tensor, targets_B: Tensor) -> Tensor:
        """The bootstrapped loss, with alignment and regularisation; see `Recommender.own_loss`."""
        vectors, _ = self.vectors()
        users_BD, items_BD = vectors.users[users_B], vectors.items[targets_B]
        loss = _distance(self.head(users_BD), self._target(items_BD)) + _distance(
            self.head(items_BD), self._target(users_BD)
        )
        return loss + self._auxiliary(vectors, targets_B)

    def auxiliary_loss(self, users_ND: Tensor, targets_N: Tensor) -> Tensor:
        """Alignment and regularisation; see `Recommender.auxiliary_loss`."""
        vectors, _ = self.vectors()
        return self._auxiliary(vectors, targets_N)

    def _auxiliary(self, vectors: Propagated, targets_N: Tensor) -> Tensor:
        lengths = torch.linalg.norm(vectors.users) + torch.linalg.norm(vectors.items)
        loss: Tensor = self.settings.regularisation * lengths / self.n_items
        if not self.settings.alignment:
            return loss
        items_ND = self._target(vectors.items[targets_N])
        for modality, map_ in zip(self.tables.modalities, self.maps, strict=True):
            has_I = self.tables.links(modality)[:, 0] >= 0
            lost = lost_items(self.tables, modality, losing=True)
            has_N = (has_I if lost is None else has_I & ~lost)[targets_N]
            mapped_ND = map_(self.tables, targets_N)
            predicted_ND = self.head(mapped_ND)
            distances = _distance(predicted_ND, items_ND, has_N)
            distances = distances + _distance(predicted_ND, self._target(mapped_ND), has_N)
            loss = loss + self.settings.alignment * distances
        return loss

    def _target(self, vectors_ND: Tensor) -> Tensor:
        return dropout(vectors_ND.detach(), self.settings.dropout, self.training)


def _distance(predicted_ND: Tensor, targets_ND: Tensor, counted_N: Tensor | None = None) -> Tensor:
    """The mean of 1 - cosine over all rows, or over those that are counted; 0 where none is."""
    distances_N = 1 - F.cosine_similarity(predicted_ND, targets_ND)
    if counted_N is None:
        return distances_N.mean()
    return (distances_N * counted_N).sum() / counted_N.sum().clamp(min=1)

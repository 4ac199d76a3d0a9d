"""MMGCN: a graph convolution for each modality (Wei et al., ACM Multimedia 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice, Int
from mmsr.models.collaborative.channels import (
    AUTHORS_TRAINING,
    BATCH_SIZES,
    ChannelConfig,
    ChannelModel,
    GraphLayer,
)
from mmsr.models.collaborative.graph import UserItemGraph
from mmsr.models.inputs import ModelInputs
from mmsr.models.products import product
from mmsr.models.spaces import FULL_SOFTMAX, training_space


class MmgcnConfig(ChannelConfig):
    """MMGCN (Wei et al., 2019)."""

    name: str = "mmgcn"
    """Which model."""
    layers: int = Field(default=2, ge=1, le=16)
    """Number of graph convolutions; user vectors are those of the last."""
    combination: Literal["add", "concat"] = "add"
    """How a node's neighbourhood is combined with the node itself: added, or side by side."""
    regularisation: float = Field(default=0.0, ge=0)
    """Weight of the mean squares of users' embeddings, items' embeddings and preferences."""

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """Widths, layers, combination, regularisation and optimisation."""
        return {
            "model.width": Choice(32, 64, 128),
            "model.latent_width": Choice(64, 128, 256),
            "model.layers": Int(1, 3),
            "model.combination": Choice("add", "concat"),
            "model.regularisation": Choice(0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
            **training_space("softmax", "sampled_softmax", "bpr", batches=BATCH_SIZES),
        }

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """The authors' widths, layers and loss, in the middle of the ranges they searched; softmax.

        They searched learning rates from 1e-4 to 1e-2, and regularisation from 0 to 0.1.
        """
        authors = {
            "model.width": 64,
            "model.latent_width": 256,
            "model.layers": 3,
            "model.combination": "add",
            "model.regularisation": 1e-3,
            "training.learning_rate": 1e-3,
            **AUTHORS_TRAINING,
        }
        return authors, {**authors, "model.layers": 2, "model.regularisation": 0.0, **FULL_SOFTMAX}


class NeighbourMean(nn.Module):
    """The mean of the neighbours' W x.

    Parameters
    ----------
    width : of input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width, bias=False)
        nn.init.xavier_normal_(self.map.weight)

    def forward(self, x_ND: Tensor, graph: UserItemGraph) -> Tensor:
        """`[N, D]`, of vectors `[N, D]` of all nodes."""
        return graph.means(product(x_ND, self.map.weight.T))


class MMGCN(ChannelModel):
    """MMGCN: in each modality, users and items read the mean of their neighbours; the modalities'
    results are averaged, and user and item vectors compared.

    Deviations from the authors' code:

    - The features of every modality are mapped to `latent_width`; there those of images are, and
      others enter as they are. They are scaled as `NodeFeatures` says.
    - The regularisation takes all embeddings and preferences alike; there those of a batch, so
      frequent users and items weigh more, and the preferences of one modality.
    - The loss is `training.loss`: `bpr` is the authors', but its negatives may be items that the
      user has had.
    - An item that a user had more than once is one edge.

    Parameters
    ----------
    settings : the model's settings.
    inputs : size of the catalogue, interactions and feature vectors.
    """

    Settings = MmgcnConfig

    def __init__(self, settings: MmgcnConfig, inputs: ModelInputs) -> None:
        super().__init__(settings, inputs)
        self.regularisation = settings.regularisation

    @staticmethod
    def layer(settings: MmgcnConfig, width: int) -> GraphLayer:
        """A layer that reads the mean of neighbours; see `ChannelModel.layer`."""
        return GraphLayer(NeighbourMean(width), width, settings.width, settings.combination)

    def auxiliary_loss(self, users_ND: Tensor, targets_N: Tensor) -> Tensor | None:
        """The regularisation; see `Recommender.auxiliary_loss`."""
        if not self.regularisation:
            return None
        drawn = (*self.ids.tensor_split([self.graph.n_users]), *self.preferences())
        return self.regularisation * torch.stack([x.square().mean() for x in drawn]).sum()

"""MGAT: gated attention to neighbours in each modality (Tao et al., Inf. Process. Manag. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.utils import softmax

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
from mmsr.models.products import product
from mmsr.models.spaces import FULL_SOFTMAX, training_space


class MgatConfig(ChannelConfig):
    """MGAT (Tao et al., 2020)."""

    name: str = "mgat"
    """Which model."""
    layers: int = Field(default=1, ge=1, le=16)
    """Number of attention layers; user vectors are all layers' vectors side by side."""

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """Widths, layers and optimisation."""
        return {
            "model.width": Choice(32, 64, 128),
            "model.latent_width": Choice(64, 128, 256),
            "model.layers": Int(1, 2),
            **training_space("softmax", "sampled_softmax", "bpr", batches=BATCH_SIZES),
        }

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """The authors' settings; the same with softmax and a higher learning rate."""
        authors = {
            "model.width": 64,
            "model.latent_width": 256,
            "model.layers": 1,
            "training.learning_rate": 1e-4,
            **AUTHORS_TRAINING,
        }
        return authors, {**authors, "training.learning_rate": 1e-3, **FULL_SOFTMAX}


class GatedAttention(nn.Module):
    """Attention of nodes to their neighbours, with a gate on each score.

    With z = W x, the score of a neighbour j of node i is s = ⟨z_i, LeakyReLU(z_j)⟩, times its gate
    σ(s / √(neighbours of j)). The softmax of a node's scores weighs its neighbours' z; their sum,
    plus a bias, is divided by its length.

    Parameters
    ----------
    width : of input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.empty(width).uniform_(-(width**-0.5), width**-0.5))
        nn.init.xavier_normal_(self.map.weight)

    def forward(self, x_ND: Tensor, graph: UserItemGraph) -> Tensor:
        """Vectors of length 1, `[N, D]`, of vectors `[N, D]` of all nodes."""
        z_ND = product(x_ND, self.map.weight.T)
        readers_E, read_E = graph.ends_2E
        scores_E = graph.products(z_ND, F.leaky_relu(z_ND))
        gates_E = torch.sigmoid(scores_E * graph.degrees_N[read_E].rsqrt())
        weights_E = softmax(scores_E * gates_E, readers_E, num_nodes=len(z_ND))
        return F.normalize(graph.sums(z_ND, weights_E) + self.bias)


class MGAT(ChannelModel):
    """MGAT: in each modality, users and items attend to their neighbours; the modalities' results
    are averaged, and user and item vectors compared.

    Deviations from the authors' code:

    - One `latent_width` for all modalities; there 256, 128 and 100. Features are scaled as
      `NodeFeatures` says.
    - As there, a gate depends on the neighbours of the node that is read. By secondary sources, the
      paper takes those of the node that reads.
    - More than one layer is possible. There the second stands behind a `return` and never runs.
    - The loss is `training.loss`: `bpr` is the authors', here the mean of a batch, there the sum of
      logarithms to the base 2. Its negatives may be items that the user has had.
    - An item that a user had more than once is one edge.

    Parameters
    ----------
    settings : the model's settings.
    inputs : size of the catalogue, interactions and feature vectors.
    """

    Settings = MgatConfig

    @staticmethod
    def layer(settings: MgatConfig, width: int) -> GraphLayer:
        """A layer that attends to neighbours; see `ChannelModel.layer`."""
        return GraphLayer(GatedAttention(width), width, settings.width)

    def activate(self, mapped_ID: Tensor) -> Tensor:
        """The hyperbolic tangent; see `ChannelModel.activate`."""
        return torch.tanh(mapped_ID)

    def channel(self, hidden: list[Tensor]) -> Tensor:
        """All layers' vectors side by side; see `ChannelModel.channel`."""
        return torch.cat(hidden, dim=1)

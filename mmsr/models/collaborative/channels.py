"""What MMGCN and MGAT share: a channel of graph layers for each modality.

Legend: U users, I items, N = U + I nodes (users first), D width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.config.base import ModelConfig
from mmsr.models.base import CollaborativeRecommender, Propagated
from mmsr.models.collaborative.graph import UserItemGraph
from mmsr.models.features import FeatureTables, root_mean_square_length
from mmsr.models.inputs import ItemFeatures, ModelInputs
from mmsr.models.products import product

BATCH_SIZES = (512, 1024, 2048)
"""To choose from: a batch is of single interactions, and each propagates the graph."""
AUTHORS_TRAINING: dict[str, Any] = {
    "training.batch_size": 2048,
    "training.averaging": 0.0,
    "training.loss.name": "bpr",
}
"""How the authors of both train."""


class ChannelConfig(ModelConfig):
    """Settings that both have."""

    modalities_as = "features"
    needs_modalities = True

    width: int = Field(default=64, ge=1)
    """Width of id embeddings and of each layer's vectors."""
    latent_width: int = Field(default=64, ge=1)
    """Width of mapped features and of users' preferences, the input of the first layer."""
    layers: int = Field(default=1, ge=1, le=16)
    """Number of graph layers."""


class FeatureMap(nn.Module):
    """A linear map of the features of one modality.

    They are divided by the root mean square length of the modality's vectors first. An item without
    the modality has features of zeros, so the bias remains.

    Parameters
    ----------
    modality : its name.
    features : its feature vectors.
    width : width of what the map gives.
    """

    def __init__(self, modality: str, features: ItemFeatures, width: int) -> None:
        super().__init__()
        self.modality = modality
        self.length = root_mean_square_length(features.vectors)
        self.linear = nn.Linear(features.vectors.shape[1], width)
        nn.init.xavier_normal_(self.linear.weight)

    def forward(
        self, tables: FeatureTables, items: Tensor | None = None, lost: Tensor | None = None
    ) -> Tensor:
        """Mapped features, `[n, width]`; the arguments are those of `FeatureTables.vectors`."""
        vectors_NF = tables.vectors(self.modality, items, lost)
        return product(vectors_NF, self.linear.weight.T / self.length) + self.linear.bias


class NodeFeatures(nn.Module):
    """Vectors of all nodes in one modality: of items mapped features, of users parameters.

    Parameters
    ----------
    modality : its name.
    features : its feature vectors.
    n_users : number of users.
    width : width of the nodes' vectors.
    """

    def __init__(self, modality: str, features: ItemFeatures, n_users: int, width: int) -> None:
        super().__init__()
        self.map = FeatureMap(modality, features, width)
        self.preferences = nn.Parameter(nn.init.xavier_normal_(torch.empty(n_users, width)))

    def forward(
        self, tables: FeatureTables, losing: bool, activation: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Vectors of length 1, `[N, width]`.

        Parameters
        ----------
        tables : the feature vectors.
        losing : as in `CollaborativeRecommender.propagate`.
        activation : what mapped features pass, and preferences do not.
        """
        lost = lost_items(tables, self.map.modality, losing)
        mapped_ID = activation(self.map(tables, None, lost))
        return F.normalize(torch.cat((self.preferences, mapped_ID)))


def lost_items(tables: FeatureTables, modality: str, losing: bool) -> Tensor | None:
    """Which items lose a modality where the graph is one history of all items.

    Parameters
    ----------
    tables : the feature vectors.
    modality : name of the modality.
    losing : as in `CollaborativeRecommender.propagate`.

    Returns
    -------
    bool `[I]` or `[1]`; None for no item.
    """
    if not losing:
        return None
    links = tables.links(modality)
    lost_1I = tables.lost(modality, torch.arange(len(links), device=links.device)[None])
    return None if lost_1I is None else lost_1I[0]


class GraphLayer(nn.Module):
    """One layer: LeakyReLU(combine(LeakyReLU(read), LeakyReLU(V x) + id)).

    Parameters
    ----------
    read : what a node reads of its neighbours; takes vectors of all nodes and the graph.
    width, out : widths of input and output.
    combination : `add` for G read + own, `concat` for G [read ; own].
    """

    def __init__(
        self, read: nn.Module, width: int, out: int, combination: Literal["add", "concat"] = "add"
    ) -> None:
        super().__init__()
        self.read, self.own = read, nn.Linear(width, out)
        self.combine = {"add": Added, "concat": Concatenated}[combination](width, out)
        nn.init.xavier_normal_(self.own.weight)

    def forward(self, x_ND: Tensor, ids_ND: Tensor, graph: UserItemGraph) -> Tensor:
        """Compute the next vectors of nodes, `[N, out]`.

        Parameters
        ----------
        x_ND : vectors of nodes.
        ids_ND : id embeddings of nodes, of the output's width.
        graph : the nodes' edges.
        """
        read_ND = F.leaky_relu(self.read(x_ND, graph))
        own_ND = F.leaky_relu(product(x_ND, self.own.weight.T) + self.own.bias) + ids_ND
        return F.leaky_relu(self.combine(read_ND, own_ND))


class Added(nn.Module):
    """G read + own.

    Parameters
    ----------
    width, out : widths of what is read and of a node's own vectors.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, out)
        nn.init.xavier_normal_(self.map.weight)

    def forward(self, read_ND: Tensor, own_ND: Tensor) -> Tensor:
        """`[N, out]`, of `[N, width]` and `[N, out]`."""
        return product(read_ND, self.map.weight.T) + self.map.bias + own_ND


class Concatenated(nn.Module):
    """G [read ; own].

    Parameters
    ----------
    width, out : widths of what is read and of a node's own vectors.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.map = nn.Linear(width + out, out)
        nn.init.xavier_normal_(self.map.weight)

    def forward(self, read_ND: Tensor, own_ND: Tensor) -> Tensor:
        """`[N, out]`, of `[N, width]` and `[N, out]`."""
        return product(torch.cat((read_ND, own_ND), dim=1), self.map.weight.T) + self.map.bias


class ChannelModel(CollaborativeRecommender):
    """Users and items read their neighbours in each modality; the modalities' results are averaged.

    Parameters
    ----------
    settings : the model's settings.
    inputs : size of the catalogue, interactions and feature vectors.
    """

    Settings: ClassVar[type[ChannelConfig]]
    tables: FeatureTables

    def __init__(self, settings: ChannelConfig, inputs: ModelInputs) -> None:
        super().__init__()
        self.tables, self.n_items = FeatureTables(inputs.features), inputs.n_items
        self.graph = UserItemGraph(inputs.interactions, inputs.n_items)
        self.ids = nn.Parameter(
            nn.init.xavier_normal_(torch.empty(self.graph.n_nodes, settings.width))
        )
        self.nodes = nn.ModuleList(
            NodeFeatures(name, features, self.graph.n_users, settings.latent_width)
            for name, features in inputs.features.items()
        )
        widths = [settings.latent_width, *[settings.width] * (settings.layers - 1)]
        self.layers = nn.ModuleList(
            nn.ModuleList(self.layer(settings, width) for width in widths) for _ in self.nodes
        )

    @classmethod
    def build(cls, config: Config, inputs: ModelInputs) -> Self:
        """Make the model that a config describes; see `Recommender.build`."""
        return cls(config.model_as(cls.Settings), inputs)

    @staticmethod
    @abstractmethod
    def layer(settings: Any, width: int) -> GraphLayer:
        """Make a layer that takes vectors of a width.

        Parameters
        ----------
        settings : the model's settings.
        width : width of the layer's input.
        """

    def activate(self, mapped_ID: Tensor) -> Tensor:
        """What mapped features pass before the first layer: nothing."""
        return mapped_ID

    def preferences(self) -> tuple[Tensor, ...]:
        """The users' parameters in each modality, `[U, latent_width]`."""
        return tuple(nodes.preferences for nodes in self.nodes if isinstance(nodes, NodeFeatures))

    def channel(self, hidden: list[Tensor]) -> Tensor:
        """The result of one modality, `[N, …]`, from the vectors `[N, D]` after each layer."""
        return hidden[-1]

    def propagate(self, losing: bool) -> Propagated:
        """Vectors of all users and items; see `CollaborativeRecommender.propagate`."""
        channels = []
        for nodes, layers in zip(self.nodes, self.layers, strict=True):
            x_ND, hidden = nodes(self.tables, losing, self.activate), []
            for layer in cast("nn.ModuleList", layers):
                x_ND = layer(x_ND, self.ids, self.graph)
                hidden.append(x_ND)
            channels.append(self.channel(hidden))
        return Propagated(*torch.stack(channels).mean(dim=0).tensor_split([self.graph.n_users]))

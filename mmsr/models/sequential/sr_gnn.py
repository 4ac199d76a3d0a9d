"""SR-GNN: session-based recommendation with graph neural networks (Wu et al., AAAI 2019).

Legend: B histories, L positions, D width, I items. A node stands at the first position of its item,
so graphs have L rows; those of repeated items are linked to nothing and never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.config.base import ModelConfig
from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice, Float, Int
from mmsr.models.base import SequentialRecommender
from mmsr.models.dropout import dropout
from mmsr.models.inputs import ModelInputs
from mmsr.models.modalities import ItemModalities
from mmsr.models.spaces import training_space


class SrGnnConfig(ModelConfig):
    """SR-GNN: gated graph network over the steps of a history (Wu et al., 2019)."""

    name: str = "sr_gnn"
    """Which model."""
    width: int = Field(default=100, ge=1)
    """Width of item embeddings, nodes and user vectors."""
    steps: int = Field(default=1, ge=1, le=8)
    """How often nodes read their neighbours, each time with the same weights."""
    hybrid: bool = True
    """Join the last item to the attention's sum (eq. 7); without it the sum alone is the user."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the item embeddings that enter the graph; the authors have none."""

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """History, width, steps, readout, dropout and training."""
        return {
            "graph.max_history": Choice(20, 50, 100),
            "model.width": Choice(64, 100, 128, 256),
            "model.steps": Int(1, 3),
            "model.hybrid": Choice(True, False),
            "model.dropout": Float(0.0, 0.6, step=0.1),
            **training_space("softmax", "sampled_softmax"),
        }

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """The authors' settings; the same with dropout, smoothing and averaged weights."""
        authors = {
            "graph.max_history": 50,
            "model.width": 100,
            "model.steps": 1,
            "model.hybrid": True,
            "model.dropout": 0.0,
            "training.learning_rate": 1e-3,
            "training.batch_size": 100,
            "training.averaging": 0.0,
            "training.loss.name": "softmax",
            "training.label_smoothing": 0.0,
        }
        regular = {
            "model.dropout": 0.3,
            "training.label_smoothing": 0.1,
            "training.averaging": 0.999,
        }
        return authors, {**authors, **regular}


class SRGNN(SequentialRecommender):
    """SR-GNN: the distinct items of a history are nodes, its steps are directed edges. Nodes read
    the means of their predecessors and of their successors through a gated recurrent unit; soft
    attention, queried by the last item, makes a user vector of them.

    An edge counts once, however often the step occurs, as in the authors' code; in the paper it
    weighs its number of occurrences. Attention sums over positions, so an item that occurs twice
    counts twice, and its weights are not normalised; both as in the code and in eq. (6).

    Differences from the authors' code, all of them in training: there the learning rate is divided
    by 10 every third epoch, and the gradient has an L2 penalty of 10⁻⁵.

    Parameters
    ----------
    config : the model's settings.
    n_items : size of the catalogue.
    """

    Settings = SrGnnConfig

    def __init__(self, config: SrGnnConfig, n_items: int) -> None:
        super().__init__()
        width = config.width
        self.tables, self.n_items = ItemModalities({}), n_items
        self.steps, self.dropout = config.steps, config.dropout
        self.item = nn.Embedding(n_items, width)
        self.propagation = Propagation(width)
        self.readout = SoftAttention(width, config.hybrid)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    @classmethod
    def build(cls, config: Config, inputs: ModelInputs) -> Self:
        """Make the model that a config describes; see `SequentialRecommender.build`."""
        return cls(config.model_as(SrGnnConfig), inputs.n_items)

    def user_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories as user vectors; see `SequentialRecommender.user_vectors`."""
        node_BL, edges_BLL = session_graphs(histories_BL)
        nodes_BLD = self.item(histories_BL.clamp(min=0))
        nodes_BLD = dropout(nodes_BLD, self.dropout, self.training)
        edges_BLL = edges_BLL.to(nodes_BLD.dtype)
        for _ in range(self.steps):
            nodes_BLD = self.propagation(nodes_BLD, edges_BLL)
        items_BLD = nodes_BLD.gather(1, node_BL[:, :, None].expand_as(nodes_BLD))
        users_BD: Tensor = self.readout(items_BLD, histories_BL >= 0)
        return users_BD

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Item embeddings; see `SequentialRecommender.item_vectors`."""
        vectors: Tensor = self.item.weight if items is None else self.item(items)
        return vectors


class Propagation(nn.Module):
    """One step of the gated graph network (eqs. 1-5).

    Parameters
    ----------
    width : D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.incoming, self.outgoing = nn.Linear(width, width), nn.Linear(width, width)
        self.incoming_bias = nn.Parameter(torch.zeros(width))
        self.outgoing_bias = nn.Parameter(torch.zeros(width))
        self.cell = nn.GRUCell(2 * width, width)

    def forward(self, nodes_BLD: Tensor, edges_BLL: Tensor) -> Tensor:
        """New vectors of nodes.

        Parameters
        ----------
        nodes_BLD : vectors of nodes.
        edges_BLL : 1 where an edge leads from a row's node to a column's, else 0.

        Returns
        -------
        `[B, L, D]`.
        """
        predecessors_BLD = _row_means(edges_BLL.transpose(1, 2)) @ self.incoming(nodes_BLD)
        successors_BLD = _row_means(edges_BLL) @ self.outgoing(nodes_BLD)
        read_BLE = torch.cat(
            (predecessors_BLD + self.incoming_bias, successors_BLD + self.outgoing_bias), dim=2
        )
        new_ND: Tensor = self.cell(read_BLE.flatten(0, 1), nodes_BLD.flatten(0, 1))
        return new_ND.view(nodes_BLD.shape)


class SoftAttention(nn.Module):
    """The sum of a history's items, weighted by attention, joined with the last item (eqs. 6, 7).

    Parameters
    ----------
    width : D.
    hybrid : False leaves the last item out of the join.
    """

    def __init__(self, width: int, hybrid: bool) -> None:
        super().__init__()
        self.last, self.each = nn.Linear(width, width), nn.Linear(width, width)
        self.query = nn.Linear(width, 1, bias=False)
        self.join = nn.Linear(2 * width, width) if hybrid else None

    def forward(self, items_BLD: Tensor, is_item_BL: Tensor) -> Tensor:
        """User vectors, `[B, D]`.

        Parameters
        ----------
        items_BLD : vectors of the items at all positions.
        is_item_BL : False at padding.
        """
        rows_B = torch.arange(items_BLD.shape[0], device=items_BLD.device)
        last_BD = items_BLD[rows_B, is_item_BL.sum(dim=1) - 1]
        hidden_BLD = torch.sigmoid(self.last(last_BD)[:, None] + self.each(items_BLD))
        weights_BL = self.query(hidden_BLD)[:, :, 0] * is_item_BL
        summed_BD: Tensor = (weights_BL[:, None] @ items_BLD)[:, 0]
        if self.join is None:
            return summed_BD
        users_BD: Tensor = self.join(torch.cat((summed_BD, last_BD), dim=1))
        return users_BD


def session_graphs(histories_BL: Tensor) -> tuple[Tensor, Tensor]:
    """The graphs of histories: distinct items, linked where one follows another.

    Parameters
    ----------
    histories_BL : int64 `[B, L]` item indices, oldest first, -1 behind the end.

    Returns
    -------
    The node at each position, int64 `[B, L]`: the first position of the same item. And edges, bool
    `[B, L, L]`: True where a step leads from the row's node to the column's. Padding has none.
    """
    batch, length = histories_BL.shape
    same_BLL = histories_BL[:, :, None] == histories_BL[:, None, :]
    node_BL = same_BLL.byte().argmax(dim=2)  # the first of the largest
    place_BL = node_BL[:, :-1] * length + node_BL[:, 1:]
    edges_BX = torch.zeros(batch, length**2, dtype=torch.bool, device=histories_BL.device)
    edges_BX.scatter_(1, place_BL, histories_BL[:, 1:] >= 0)
    return node_BL, edges_BX.view(batch, length, length)


def _row_means(edges_BLL: Tensor) -> Tensor:
    means_BLL: Tensor = edges_BLL / edges_BLL.sum(dim=2, keepdim=True).clamp(min=1)
    return means_BLL

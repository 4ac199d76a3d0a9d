"""GRU4Rec: recurrent networks for sequential recommendation (Hidasi et al., ICLR 2016; Hidasi and
Karatzoglou, CIKM 2018).

Legend: B histories, L positions, D width, N targets, I items.
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
from mmsr.models.base import CausalRecommender
from mmsr.models.dropout import dropout
from mmsr.models.inputs import ModelInputs
from mmsr.models.modalities import ItemModalities
from mmsr.models.spaces import FULL_SOFTMAX, training_space


class Gru4recConfig(ModelConfig):
    """GRU4Rec: gated recurrent units over item ids (Hidasi et al., 2016, 2018)."""

    name: str = "gru4rec"
    """Which model."""
    width: int = Field(default=128, ge=1)
    """Width of item embeddings, hidden states and user vectors: one number, since the embeddings
    that the network reads are those that its output is compared with."""
    layers: int = Field(default=1, ge=1, le=8)
    """Number of recurrent layers."""
    bias: bool = True
    """Add a learned number per item to its scores, as the authors do."""
    embedding_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on the item embeddings that the first layer reads."""
    hidden_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on the output of each layer."""

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """History, sizes, bias, dropout and training."""
        return {
            "graph.max_history": Choice(20, 50, 100),
            "model.width": Choice(64, 100, 128, 256, 512),
            "model.layers": Int(1, 2),
            "model.bias": Choice(True, False),
            "model.embedding_dropout": Float(0.0, 0.6, step=0.05),
            "model.hidden_dropout": Float(0.0, 0.7, step=0.05),
            **training_space("softmax", "sampled_softmax", "bpr"),
        }

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """The authors' best with cross-entropy on RSC15 and on REES46, and the full softmax.

        Their Adagrad takes steps of another size, so learning rates and batches are ours.
        """
        shared = {
            "graph.max_history": 50,
            "model.layers": 1,
            "model.bias": True,
            "training.learning_rate": 1e-3,
            "training.batch_size": 128,
            "training.averaging": 0.0,
        }
        sampled = {
            "training.loss.name": "sampled_softmax",
            "training.loss.negatives": 2048,
            "training.loss.sampling": "popularity",
        }
        rsc15 = {"model.width": 100, "model.embedding_dropout": 0.0, "model.hidden_dropout": 0.4}
        rees46 = {"model.width": 512, "model.embedding_dropout": 0.45, "model.hidden_dropout": 0.0}
        return (
            {**shared, **rsc15, **sampled},
            {**shared, **rees46, **sampled},
            {**shared, **rsc15, **FULL_SOFTMAX, "training.averaging": 0.999},
        )


class GRU4Rec(CausalRecommender):
    """GRU4Rec: item embeddings run through gated recurrent units, whose state is compared with the
    same embeddings (the authors' constrained embedding), plus a bias for each item.

    Differences from the authors' code (GRU4Rec_PyTorch_Official):

    - Dropout of hidden states is on what a layer gives to the next one and to the scores. There the
      next time step reads the dropped state, too.
    - Gradients flow through the whole history. There they stop after one step, since sessions run
      through parallel mini-batches.
    - The losses are those of `training.loss`: BPR-max is not among them. `sampled_softmax` is the
      authors' cross-entropy; but the other targets of a batch are no negatives, and negatives are
      drawn by an item's popularity or uniformly, there by its square root.
    - The optimizer is Adam, there Adagrad with momentum.

    Parameters
    ----------
    config : the model's settings.
    n_items : size of the catalogue.
    """

    Settings = Gru4recConfig

    def __init__(self, config: Gru4recConfig, n_items: int) -> None:
        super().__init__()
        self.tables, self.n_items = ItemModalities({}), n_items
        self.embedding_dropout = config.embedding_dropout
        self.hidden_dropout = config.hidden_dropout
        self.item = nn.Embedding(n_items, config.width)
        self.bias = nn.Parameter(torch.zeros(n_items, 1)) if config.bias else None
        self.layers = nn.ModuleList(
            nn.GRU(config.width, config.width, batch_first=True) for _ in range(config.layers)
        )
        nn.init.xavier_uniform_(self.item.weight)
        for name, parameter in self.layers.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
                continue
            for gate in parameter.detach().chunk(3):  # drawn one by one
                nn.init.xavier_uniform_(gate)

    @classmethod
    def build(cls, config: Config, inputs: ModelInputs) -> Self:
        """Make the model that a config describes; see `SequentialRecommender.build`."""
        return cls(config.model_as(Gru4recConfig), inputs.n_items)

    def sequence_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories at all positions; see `CausalRecommender.sequence_vectors`.

        A user vector ends with a 1 where items have biases.
        """
        x_BLD = self.item(histories_BL.clamp(min=0))
        x_BLD = dropout(x_BLD, self.embedding_dropout, self.training)
        for layer in self.layers:
            x_BLD = dropout(layer(x_BLD)[0], self.hidden_dropout, self.training)
        if self.bias is None:
            return x_BLD
        return torch.cat((x_BLD, x_BLD.new_ones(*histories_BL.shape, 1)), dim=2)

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Item embeddings, each with the item's bias behind it; see `SequentialRecommender`."""
        vectors: Tensor = self.item.weight if items is None else self.item(items)
        if self.bias is None:
            return vectors
        biases = self.bias if items is None else self.bias[items]
        return torch.cat((vectors, biases), dim=1)

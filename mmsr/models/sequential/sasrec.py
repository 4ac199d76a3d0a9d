"""SASRec: self-attentive sequential recommendation (Kang and McAuley, ICDM 2018).

Legend: B histories, L positions, D width, I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.config.base import ModelConfig, check_heads
from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice, Float, Int
from mmsr.models.base import CausalRecommender
from mmsr.models.inputs import ModelInputs
from mmsr.models.modalities import ItemModalities
from mmsr.models.sequential.transformer import CausalTransformer, xavier_
from mmsr.models.spaces import FULL_SOFTMAX, training_space


class SasrecConfig(ModelConfig):
    """SASRec: causal self-attention over item ids (Kang and McAuley, 2018)."""

    name: str = "sasrec"
    """Which model."""
    width: int = Field(default=64, ge=1)
    """Width of item embeddings, positions, blocks and user vectors."""
    layers: int = Field(default=2, ge=1, le=16)
    """Number of blocks."""
    heads: int = Field(default=1, ge=1)
    """Attention heads, which divide the width among them."""
    norm: Literal["authors", "pre", "post"] = "authors"
    """Where layer normalisation stands.

    - `authors`: as in the authors' code. Queries are normalised, keys and values are not, and the
      residual connections add what is normalised.
    - `pre`: as in the paper's text. Attention and feed-forward net read normalised vectors, and are
      added to vectors that are not.
    - `post`: each sum is normalised, and the embedded history, too, as in BERT.
    """
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on embedded histories and in feed-forward nets."""
    attention_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on attention weights; the authors have one rate for both."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        check_heads("model.heads", self.heads, "model.width", self.width)
        return self

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """History, sizes, norm, dropout and training; BCE has one negative, as published."""
        return {
            "graph.max_history": Choice(20, 50, 100),
            "model.width": Choice(50, 64, 128, 256),
            "model.layers": Int(1, 3),
            "model.heads": Choice(1, 2),
            "model.norm": Choice("authors", "pre", "post"),
            "model.dropout": Float(0.0, 0.6, step=0.1),
            "model.attention_dropout": Float(0.0, 0.6, step=0.1),
            **training_space("softmax", "sampled_softmax", "gbce", "bce"),
        }

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """The authors' settings for sparse data; the same with losses that beat theirs; our own.

        Our own were chosen on the validation targets of Toys, leave-one-out, seen items masked.
        """
        authors = {
            "graph.max_history": 50,
            "model.width": 50,
            "model.layers": 2,
            "model.heads": 1,
            "model.norm": "authors",
            "model.dropout": 0.5,
            "model.attention_dropout": 0.5,
            "training.learning_rate": 1e-3,
            "training.batch_size": 128,
            "training.averaging": 0.0,
            "training.loss.name": "bce",
        }
        wide = {**authors, "model.width": 64, "training.averaging": 0.999}
        return (
            authors,
            {**wide, **FULL_SOFTMAX},
            {**wide, "training.loss.name": "gbce", "training.loss.negatives": 256},
            {
                **wide,
                "model.width": 256,
                "model.layers": 1,
                "model.heads": 2,
                "model.norm": "pre",
                "model.dropout": 0.6,
                "training.learning_rate": 2e-3,
                "training.loss.name": "sampled_softmax",
                "training.loss.negatives": 512,
                "training.loss.sampling": "uniform",
            },
        )


class SASRec(CausalRecommender):
    """SASRec: an item is embedded, scaled by √D and given its position; blocks of causal attention
    follow; scores compare their output with the same item embeddings, unscaled and without a bias.

    Differences from the authors' code:

    - Positions are counted from the oldest item that is read, there from the newest one. Counted
      from the newest, a later item would shift the positions of all earlier ones.
    - Attention weights and all else have dropout rates of their own.
    - The loss is `training.loss`: `bce` is the authors', but its negatives may be items that the
      user has had. Adam's second decay is .999, there .98.

    Parameters
    ----------
    config : the model's settings.
    n_items : size of the catalogue.
    max_history : longest history that is ever encoded.
    """

    Settings = SasrecConfig

    def __init__(self, config: SasrecConfig, n_items: int, max_history: int) -> None:
        super().__init__()
        self.tables, self.n_items = ItemModalities({}), n_items
        self.item = nn.Embedding(n_items, config.width)
        self.position = nn.Embedding(max_history, config.width)
        self.transformer = CausalTransformer(
            config.norm,
            config.layers,
            config.width,
            config.heads,
            config.dropout,
            config.attention_dropout,
        )
        xavier_(self)

    @classmethod
    def build(cls, config: Config, inputs: ModelInputs) -> Self:
        """Make the model that a config describes; see `SequentialRecommender.build`."""
        return cls(config.model_as(SasrecConfig), inputs.n_items, config.graph.max_history)

    def sequence_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories at all positions; see `CausalRecommender.sequence_vectors`."""
        items_BLD = self.item(histories_BL.clamp(min=0)) * self.item.embedding_dim**0.5
        vectors_BLD: Tensor = self.transformer(
            items_BLD + self.position.weight[: histories_BL.shape[1]]
        )
        return vectors_BLD

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Item embeddings; see `SequentialRecommender.item_vectors`."""
        vectors: Tensor = self.item.weight if items is None else self.item(items)
        return vectors

"""What models of feature vectors share: settings, projected features and a transformer layer.

Shapes: B batch, L history, D width, E inner width, F width of feature vectors, H heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.config.base import ModelConfig, check_heads
from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice, Float, Int
from mmsr.models.base import CausalRecommender
from mmsr.models.dropout import dropout
from mmsr.models.features import FeatureTables, root_mean_square_length
from mmsr.models.inputs import ItemFeatures, ModelInputs
from mmsr.models.products import product
from mmsr.models.spaces import training_space

DEVIATION = 0.02
"""Standard deviation of weights and embeddings at the start, as in BERT and RecBole."""
EPSILON = 1e-12
"""What layer norms add to variances, as in BERT and RecBole."""


class TransformerConfig(ModelConfig):
    """Settings that all transformers here have."""

    modalities_as = "features"

    width: int = Field(default=64, ge=1)
    """Width of item embeddings, hidden vectors and user vectors."""
    layers: int = Field(default=2, ge=1, le=16)
    """Number of transformer layers."""
    heads: int = Field(default=2, ge=1)
    """Attention heads."""
    inner_width: int = Field(default=256, ge=1)
    """Width between the two maps of a feed-forward layer."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout on the input, and on what each part of a layer adds."""
    attention_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout on attention weights."""

    @model_validator(mode="after")
    def _heads_divide_widths(self) -> Self:
        for key in self._divided():
            check_heads("model.heads", self.heads, f"model.{key}", getattr(self, key))
        return self

    @classmethod
    def _divided(cls) -> tuple[str, ...]:
        """Widths that the heads share."""
        return ("width",)

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """Sizes, dropout and optimisation."""
        return {
            "graph.max_history": Int(20, 50, step=10),
            "model.width": Choice(64, 128, 256),
            "model.layers": Int(1, 4),
            "model.heads": Choice(1, 2, 4, 8),
            "model.inner_width": Choice(128, 256, 512),
            "model.dropout": Float(0.0, 0.6, step=0.1),
            "model.attention_dropout": Float(0.0, 0.6, step=0.1),
            **training_space("softmax", "sampled_softmax", "bce", "gbce", "bpr"),
        }


RECBOLE_TRAINING: Mapping[str, Any] = {
    "graph.max_history": 50,
    "training.learning_rate": 1e-3,
    "training.batch_size": 256,
    "training.averaging": 0.0,
    "training.loss.name": "softmax",
    "training.label_smoothing": 0.0,
}
"""RecBole's settings of training. Its batch of 2,048 is one of prefixes, each with one target; 256
histories of the usual length have about as many targets."""


class FeatureModel(CausalRecommender):
    """A model that reads feature vectors in histories, and scores against item embeddings.

    Parameters
    ----------
    config : the whole config, from which a model's own class makes its parts.
    inputs : size of the catalogue, and feature vectors.
    """

    tables: FeatureTables
    item: nn.Embedding
    """Item embeddings, `[I, D]`."""

    def __init__(self, config: Config, inputs: ModelInputs) -> None:
        super().__init__()
        self.tables, self.n_items = FeatureTables(inputs.features), inputs.n_items

    @classmethod
    def build(cls, config: Config, inputs: ModelInputs) -> Self:
        """Make the model that a config describes; see `SequentialRecommender.build`."""
        return cls(config, inputs)

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Item embeddings; see `SequentialRecommender.item_vectors`."""
        return self.item.weight if items is None else self.item(items)


class ProjectedFeatures(nn.Module):
    """Feature vectors of histories' items, each modality mapped to one width; no bias.

    Vectors are divided by the root mean square length of their modality's vectors first: so maps
    with usual weights give vectors of the size of item embeddings, whatever the features' unit. An
    item without the modality has zeros.

    Parameters
    ----------
    features : the vectors of each modality.
    width : width of what the maps give.
    """

    lengths: Tensor

    def __init__(self, features: Mapping[str, ItemFeatures], width: int) -> None:
        super().__init__()
        lengths = [root_mean_square_length(f.vectors) for f in features.values()]
        self.register_buffer("lengths", torch.tensor(lengths))
        self.maps = nn.ModuleList(
            nn.Linear(f.vectors.shape[1], width, bias=False) for f in features.values()
        )

    def forward(self, tables: FeatureTables, histories_BL: Tensor) -> list[Tensor]:
        """Look up features, and map them.

        Parameters
        ----------
        tables : the feature vectors.
        histories_BL : int64 `[B, L]` item indices, -1 behind the end, where anything is returned.

        Returns
        -------
        `[B, L, width]` for each modality, in the order of `tables.modalities`.
        """
        items_BL = histories_BL.clamp(min=0)
        projected = []
        for modality, map_, length in zip(tables.modalities, self.maps, self.lengths, strict=True):
            vectors = tables.vectors(modality, items_BL, tables.lost(modality, histories_BL))
            projected.append(product(vectors, map_.weight.T / length))
        return projected


class AddNorm(nn.Module):
    """Dropout, residual connection and layer norm, in this order: LN(x + dropout(change)).

    Parameters
    ----------
    shape : the last sizes of x, over which the layer norm runs.
    probability : of dropout.
    """

    def __init__(self, *shape: int, probability: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape, eps=EPSILON)
        self.probability = probability

    def forward(self, x: Tensor, change: Tensor) -> Tensor:
        """Both of the same shape, which ends in `shape`, as does the result."""
        normed: Tensor = self.norm(x + dropout(change, self.probability, self.training))
        return normed


class FeedForward(nn.Module):
    """Two maps with GELU between them, then `AddNorm`.

    Parameters
    ----------
    settings : its widths and dropout are used.
    """

    def __init__(self, settings: TransformerConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(settings.width, settings.inner_width)
        self.outer = nn.Linear(settings.inner_width, settings.width)
        self.norm = AddNorm(settings.width, probability=settings.dropout)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """`[B, L, D]`."""
        changed: Tensor = self.norm(x_BLD, self.outer(F.gelu(self.inner(x_BLD))))
        return changed


class TransformerLayer(nn.Module):
    """Causal self-attention and a feed-forward layer, each with its norm behind it (as in BERT).

    Queries and keys may be made of something else than values.

    Parameters
    ----------
    settings : widths, heads and dropout.
    """

    def __init__(self, settings: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.attention_dropout = settings.heads, settings.attention_dropout
        self.query, self.key, self.value, self.output = (
            nn.Linear(settings.width, settings.width) for _ in range(4)
        )
        self.norm = AddNorm(settings.width, probability=settings.dropout)
        self.feed_forward = FeedForward(settings)

    def forward(self, x_BLD: Tensor, fused_BLD: Tensor) -> Tensor:
        """Compute the next hidden vectors.

        Parameters
        ----------
        x_BLD : hidden vectors, of which the values are made.
        fused_BLD : what queries and keys are made of; the hidden vectors themselves in SASRec.

        Returns
        -------
        `[B, L, D]`.
        """
        read = F.scaled_dot_product_attention(
            split_heads(self.query(fused_BLD), self.heads),
            split_heads(self.key(fused_BLD), self.heads),
            split_heads(self.value(x_BLD), self.heads),
            dropout_p=self.attention_dropout if self.training else 0.0,
            is_causal=True,
        )
        changed: Tensor = self.feed_forward(self.norm(x_BLD, self.output(join_heads(read))))
        return changed


def split_heads(x_BLD: Tensor, heads: int) -> Tensor:
    """From `[B, L, D]` to `[B, H, L, D / H]`."""
    return x_BLD.view(*x_BLD.shape[:2], heads, -1).transpose(1, 2)


def join_heads(x_BHLd: Tensor) -> Tensor:
    """From `[B, H, L, d]` to `[B, L, H · d]`."""
    return x_BHLd.transpose(1, 2).flatten(start_dim=2)


def initialise(module: nn.Module) -> None:
    """Draw weights and embeddings as BERT and RecBole do, and set biases to zero; for `apply`.

    Parameters
    ----------
    module : changed in place, where it is a linear map or an embedding.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=DEVIATION)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)

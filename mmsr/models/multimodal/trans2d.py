"""Trans2D: attention over items and their attributes at once.

Shapes: B batch, L history, C attributes (the item itself and each modality), D width, H heads, T
the L · C pairs of position and attribute, in this order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice
from mmsr.models.dropout import dropout
from mmsr.models.inputs import ModelInputs
from mmsr.models.multimodal.blocks import (
    EPSILON,
    RECBOLE_TRAINING,
    AddNorm,
    FeatureModel,
    ProjectedFeatures,
    TransformerConfig,
    initialise,
)


class Trans2dConfig(TransformerConfig):
    """Trans2D (Singer et al., WSDM 2022)."""

    name: str = "trans2d"
    """Which model."""
    layers: int = Field(default=1, ge=1, le=16)
    """Number of transformer layers."""
    heads: int = Field(default=4, ge=1)
    """Attention heads, each as wide as the whole model."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout on the input, and on what each part of a layer adds."""
    attention_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout on attention weights."""

    @classmethod
    def _divided(cls) -> tuple[str, ...]:
        return ()

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """Sizes, dropout and optimisation."""
        return {
            **super().space(),
            "model.width": Choice(16, 32, 64, 128),
            "model.heads": Choice(1, 2, 4),
            "model.inner_width": Choice(128, 256, 512, 3072),
            "training.batch_size": Choice(32, 64, 128, 256),
        }

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """The defaults of the authors' code; they published no others."""
        return (
            {
                **RECBOLE_TRAINING,
                "model.width": 16,
                "model.layers": 1,
                "model.heads": 4,
                "model.inner_width": 3072,
                "model.dropout": 0.3,
                "model.attention_dropout": 0.3,
                "training.batch_size": 32,
            },
        )


class AttributeLinear(nn.Module):
    """A linear map for each attribute; the authors' Linear2D.

    Weights and biases start in ±1/√(in · out), as in the authors' code.

    Parameters
    ----------
    n_attributes : C.
    n_in, n_out : sizes of the maps.
    """

    def __init__(self, n_attributes: int, n_in: int, n_out: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in * n_out)
        self.weight = nn.Parameter(torch.empty(n_attributes, n_out, n_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_attributes, n_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, L, C, in]` to `[B, L, C, out]`."""
        return torch.einsum("blci,coi->blco", x, self.weight) + self.bias


class Attention2D(nn.Module):
    """Attention from each attribute of an item to all attributes of the items up to it.

    The score of attribute a of item i and attribute c of item j is, over √d,

        α₀ q_ia · k_jc + α₁ Σ_{l ≤ i} q_la · k_lc + α₂ Σ_b q_ib · k_jb,

    the two themselves, their attributes whatever the items, and their items whatever the
    attributes. The softmax runs over all (j, c) with j ≤ i.

    Parameters
    ----------
    n_attributes : C.
    settings : width, heads and dropout on weights.
    """

    def __init__(self, n_attributes: int, settings: Trans2dConfig) -> None:
        super().__init__()
        self.heads, self.dropout = settings.heads, settings.attention_dropout
        width, inner = settings.width, settings.heads * settings.width
        self.query, self.key, self.value = (
            AttributeLinear(n_attributes, width, inner) for _ in range(3)
        )
        self.output = AttributeLinear(n_attributes, inner, width)
        self.alpha = nn.Parameter(torch.ones(3))

    def forward(self, x_BLCD: Tensor) -> Tensor:
        """`[B, L, C, D]`."""
        n, length, n_attributes, width = x_BLCD.shape
        size = (n, length, n_attributes, self.heads, width)
        q, k, v = (
            map_(x_BLCD).view(size).permute(0, 3, 1, 2, 4)  # [B, H, L, C, D]
            for map_ in (self.query, self.key, self.value)
        )
        of_pairs = q.flatten(2, 3) @ k.flatten(2, 3).mT
        of_pairs = of_pairs.unflatten(-1, (length, -1)).unflatten(2, (length, -1))
        of_attributes = (q @ k.mT).cumsum(dim=2)[:, :, :, :, None]  # [B, H, L, C, 1, C]
        of_items = (q.flatten(3) @ k.flatten(3).mT)[:, :, :, None, :, None]  # [B, H, L, 1, L, 1]
        scores = torch.addcmul(of_pairs * self.alpha[0], of_attributes, self.alpha[1])
        scores = torch.addcmul(scores, of_items, self.alpha[2]) / math.sqrt(width)
        later_LL = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later_LL[:, None, :, None], -math.inf)
        weights_BHTT = scores.flatten(4).flatten(2, 3).softmax(dim=-1)
        read_BHTD = dropout(weights_BHTT, self.dropout, self.training) @ v.flatten(2, 3)
        read = read_BHTD.transpose(1, 2).reshape(n, length, n_attributes, self.heads * width)
        changed: Tensor = self.output(read)
        return changed


class Layer(nn.Module):
    """`Attention2D` and a feed-forward layer per attribute, each with its norm behind it.

    Norms run over all attributes of an item at once.

    Parameters
    ----------
    n_attributes : C.
    settings : widths, heads and dropout.
    """

    def __init__(self, n_attributes: int, settings: Trans2dConfig) -> None:
        super().__init__()
        width, inner, probability = settings.width, settings.inner_width, settings.dropout
        self.attention = Attention2D(n_attributes, settings)
        self.norm = AddNorm(n_attributes, width, probability=probability)
        self.inner = AttributeLinear(n_attributes, width, inner)
        self.outer = AttributeLinear(n_attributes, inner, width)
        self.outer_norm = AddNorm(n_attributes, width, probability=probability)

    def forward(self, x_BLCD: Tensor) -> Tensor:
        """`[B, L, C, D]`."""
        x_BLCD = self.norm(x_BLCD, self.attention(x_BLCD))
        changed: Tensor = self.outer_norm(x_BLCD, self.outer(F.gelu(self.inner(x_BLCD))))
        return changed


class Trans2D(FeatureModel):
    """Trans2D: every item is a row of attributes, its embedding and its projected features.

    The row plus the embedding of its position goes through a layer norm and the layers; the user
    vector is the mean over attributes of the last item's row.

    Deviations from the authors' code: attributes are projected feature vectors
    (`ProjectedFeatures`) where theirs are categories. Theirs ranks the items of a list that it has
    read whole, by a linear map of each item's vector. Here the next item is predicted, so attention
    is causal, the sum over positions in its second term ends at the query's, and user vectors are
    compared with item embeddings, which start with a standard deviation of 0.02 rather than 1. Its
    token types, which are all the same, are left out.

    Parameters
    ----------
    config : the whole config; its model and longest history are used.
    inputs : size of the catalogue, and feature vectors.
    """

    Settings = Trans2dConfig

    def __init__(self, config: Config, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        settings = config.model_as(Trans2dConfig)
        width, n_attributes = settings.width, 1 + len(inputs.features)
        self.dropout = settings.dropout
        self.item = nn.Embedding(inputs.n_items, width)
        self.position = nn.Embedding(config.graph.max_history, width)
        self.features = ProjectedFeatures(inputs.features, width)
        self.norm = nn.LayerNorm((n_attributes, width), eps=EPSILON)
        self.layers = nn.ModuleList(Layer(n_attributes, settings) for _ in range(settings.layers))
        self.apply(initialise)

    def sequence_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories at all positions; see `CausalRecommender.sequence_vectors`."""
        items_BLD = self.item(histories_BL.clamp(min=0))
        x_BLCD = torch.stack([items_BLD, *self.features(self.tables, histories_BL)], dim=2)
        x_BLCD = self.norm(x_BLCD + self.position.weight[: histories_BL.shape[1], None])
        x_BLCD = dropout(x_BLCD, self.dropout, self.training)
        for layer in self.layers:
            x_BLCD = layer(x_BLCD)
        return x_BLCD.mean(dim=2)

"""DIF-SR: attention scores of items, positions and features, each computed apart, then fused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice
from mmsr.models.dropout import dropout
from mmsr.models.inputs import ModelInputs
from mmsr.models.multimodal.attribute_prediction import AttributePrediction
from mmsr.models.multimodal.blocks import (
    EPSILON,
    RECBOLE_TRAINING,
    AddNorm,
    FeatureModel,
    FeedForward,
    ProjectedFeatures,
    TransformerConfig,
    initialise,
    join_heads,
    split_heads,
)
from mmsr.models.multimodal.score_fusions import FUSIONS


class DifSrConfig(TransformerConfig):
    """DIF-SR (Xie et al., SIGIR 2022)."""

    name: str = "dif_sr"
    """Which model."""
    width: int = Field(default=256, ge=1)
    """Width of item embeddings, hidden vectors and user vectors."""
    attribute_width: int = Field(default=64, ge=1)
    """Width of projected features, whose queries and keys have it, too."""
    layers: int = Field(default=4, ge=1, le=16)
    """Number of transformer layers."""
    heads: int = Field(default=8, ge=1)
    """Attention heads."""
    fusion: Literal["sum", "concat", "gate"] = "gate"
    """How the scores of items, positions and features become one score.

    - `sum`: their sum.
    - `concat`: a linear map of a query's scores for all keys, side by side.
    - `gate`: their sum with weights that depend on a query's scores for all keys.
    """
    attention_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout on attention weights."""
    attribute_loss: float = Field(default=10.0, ge=0)
    """Weight of the auxiliary loss, the prediction of the target's features; 0 leaves it out."""

    @classmethod
    def _divided(cls) -> tuple[str, ...]:
        return ("width", "attribute_width")

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """Fusion, weight of the auxiliary loss, sizes, dropout and optimisation."""
        return {
            "model.fusion": Choice("sum", "concat", "gate"),
            "model.attribute_width": Choice(16, 32, 64, 128),
            "model.attribute_loss": Choice(0.0, 1.0, 5.0, 10.0, 20.0),
            **super().space(),
        }

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """The authors' settings for Beauty, Toys and Sports."""
        return tuple(
            {
                "model.fusion": "gate",
                "model.width": 256,
                "model.attribute_width": 64,
                "model.layers": layers,
                "model.heads": heads,
                "model.inner_width": 256,
                "model.dropout": 0.5,
                "model.attention_dropout": 0.3,
                "model.attribute_loss": weight,
                **RECBOLE_TRAINING,
                "training.learning_rate": 1e-4,
            }
            for layers, heads, weight in ((4, 8, 10.0), (3, 4, 5.0), (3, 8, 5.0))
        )


class DecoupledLayer(nn.Module):
    """Attention with queries and keys per source, and values of hidden vectors alone.

    The sources are the hidden vectors, the positions and the features of each modality.

    Parameters
    ----------
    settings : widths, heads, fusion and dropout.
    n_modalities : number of modalities.
    max_history : most positions of a history.
    """

    def __init__(self, settings: DifSrConfig, n_modalities: int, max_history: int) -> None:
        super().__init__()
        width = settings.width
        self.heads, self.attention_dropout = settings.heads, settings.attention_dropout
        widths = [width, width, *[settings.attribute_width] * n_modalities]
        self.queries = nn.ModuleList(nn.Linear(one, one) for one in widths)
        self.keys = nn.ModuleList(nn.Linear(one, one) for one in widths)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.fusion = FUSIONS[settings.fusion](len(widths), max_history)
        self.norm = AddNorm(width, probability=settings.dropout)
        self.feed_forward = FeedForward(settings)

    def forward(self, x_BLD: Tensor, side: list[Tensor]) -> Tensor:
        """Compute the next hidden vectors.

        Parameters
        ----------
        x_BLD : hidden vectors.
        side : the other sources, `[B, L, ·]` or `[1, L, ·]` each.

        Returns
        -------
        `[B, L, D]`.
        """
        scores = [
            split_heads(query(source), self.heads) @ split_heads(key(source), self.heads).mT
            for query, key, source in zip(self.queries, self.keys, [x_BLD, *side], strict=True)
        ]
        shape = scores[0].shape
        scores_BHPLL = torch.stack([one.expand(shape) for one in scores], dim=2).tril()
        fused_BHLL = self.fusion(scores_BHPLL) / math.sqrt(x_BLD.shape[-1] // self.heads)
        later_LL = torch.ones(shape[-2:], dtype=torch.bool, device=x_BLD.device).triu(1)
        weights = fused_BHLL.masked_fill(later_LL, -math.inf).softmax(dim=-1)
        weights = dropout(weights, self.attention_dropout, self.training)
        read = join_heads(weights @ split_heads(self.value(x_BLD), self.heads))
        changed: Tensor = self.feed_forward(self.norm(x_BLD, self.output(read)))
        return changed


class DIFSR(FeatureModel):
    """DIF-SR: hidden vectors start as LN(e) of item embeddings e, and go through decoupled layers.

    A head's score of query i and key j is fusion(s⁰, sᵖ, s¹, …, sᴹ) / √d, s = qᵢ · kⱼ, with
    queries and keys of its own for hidden vectors, positions and each modality. The auxiliary loss
    (`AttributePrediction`) predicts the target's features from the user vector.

    Deviations from the authors' code: a category's embedding is replaced by a projected feature
    vector (`ProjectedFeatures`), and the prediction of categories by that of vectors
    (`AttributePrediction`). `concat` and `gate` read a query's scores for all keys; here those for
    later keys are 0 before the fusion, not after it: the authors train on the last position alone,
    and with a target at every position a fusion would see its own target. The last bias of the
    gate, which changes nothing, is left out.

    Parameters
    ----------
    config : the whole config; its model and longest history are used.
    inputs : size of the catalogue, and feature vectors.
    """

    Settings = DifSrConfig

    def __init__(self, config: Config, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        settings = config.model_as(DifSrConfig)
        width, features = settings.width, inputs.features
        self.dropout, self.attribute_loss = settings.dropout, settings.attribute_loss
        self.item = nn.Embedding(inputs.n_items, width)
        self.position = nn.Embedding(config.graph.max_history, width)
        self.features = ProjectedFeatures(features, settings.attribute_width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.layers = nn.ModuleList(
            DecoupledLayer(settings, len(features), config.graph.max_history)
            for _ in range(settings.layers)
        )
        self.prediction = None
        if features and self.attribute_loss:
            self.prediction = AttributePrediction(features, width)
        self.apply(initialise)

    def sequence_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories at all positions; see `CausalRecommender.sequence_vectors`."""
        x_BLD: Tensor = self.norm(self.item(histories_BL.clamp(min=0)))
        x_BLD = dropout(x_BLD, self.dropout, self.training)
        steps_L = torch.arange(histories_BL.shape[1], device=histories_BL.device)
        positions_1LD = self.position(steps_L)[None]
        side = [positions_1LD, *self.features(self.tables, histories_BL)]
        for layer in self.layers:
            x_BLD = layer(x_BLD, side)
        return x_BLD

    def auxiliary_loss(self, users_ND: Tensor, targets_N: Tensor) -> Tensor | None:
        """`attribute_loss` times the loss of `AttributePrediction`, if there is any."""
        if self.prediction is None:
            return None
        loss: Tensor = self.prediction(self.tables, users_ND, targets_N)
        return self.attribute_loss * loss

"""SASRec^F: SASRec whose input joins item embeddings and feature vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.models.dropout import dropout
from mmsr.models.inputs import ModelInputs
from mmsr.models.multimodal.blocks import (
    EPSILON,
    RECBOLE_TRAINING,
    FeatureModel,
    ProjectedFeatures,
    TransformerConfig,
    TransformerLayer,
    initialise,
)


class SasrecFConfig(TransformerConfig):
    """SASRec^F, RecBole's `SASRecF` with feature vectors in place of categories."""

    name: str = "sasrec_f"
    """Which model."""

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """RecBole's defaults."""
        return (
            {
                "model.width": 64,
                "model.layers": 2,
                "model.heads": 2,
                "model.inner_width": 256,
                "model.dropout": 0.5,
                "model.attention_dropout": 0.5,
                **RECBOLE_TRAINING,
            },
        )


class SASRecF(FeatureModel):
    """SASRec^F: a transformer over x_l = LN(W [e_l ; f_l¹ ; … ; f_lᴹ] + b + p_l).

    e is the item embedding, fᵐ the projected vector of modality m, p the embedding of the position,
    counted from the oldest item. User vectors are compared with item embeddings alone, as in
    RecBole: an item's features act where it stands in a history, not where it is scored.

    Deviations from RecBole's `SASRecF`: a category's embedding is replaced by a projected feature
    vector (`ProjectedFeatures`). Without features there is nothing to join: the input is LN(e + p),
    that of RecBole's SASRec.

    Parameters
    ----------
    config : the whole config; its model and longest history are used.
    inputs : size of the catalogue, and feature vectors.
    """

    Settings = SasrecFConfig

    def __init__(self, config: Config, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        settings = config.model_as(SasrecFConfig)
        width, n_modalities = settings.width, len(inputs.features)
        self.dropout = settings.dropout
        self.item = nn.Embedding(inputs.n_items, width)
        self.position = nn.Embedding(config.graph.max_history, width)
        self.features = ProjectedFeatures(inputs.features, width)
        self.join = nn.Linear((1 + n_modalities) * width, width) if n_modalities else None
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.layers = nn.ModuleList(TransformerLayer(settings) for _ in range(settings.layers))
        self.apply(initialise)

    def sequence_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories at all positions; see `CausalRecommender.sequence_vectors`."""
        x_BLD: Tensor = self.item(histories_BL.clamp(min=0))
        if self.join is not None:
            x_BLD = self.join(torch.cat([x_BLD, *self.features(self.tables, histories_BL)], dim=-1))
        x_BLD = self.norm(x_BLD + self.position.weight[: histories_BL.shape[1]])
        x_BLD = dropout(x_BLD, self.dropout, self.training)
        for layer in self.layers:
            x_BLD = layer(x_BLD, x_BLD)
        return x_BLD

"""GRU4Rec^F: recurrent networks over item embeddings and feature vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.config.base import ModelConfig
from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice, Float, Int
from mmsr.models.dropout import dropout
from mmsr.models.inputs import ModelInputs
from mmsr.models.multimodal.blocks import (
    RECBOLE_TRAINING,
    FeatureModel,
    ProjectedFeatures,
)
from mmsr.models.spaces import training_space


class Gru4RecFConfig(ModelConfig):
    """GRU4Rec^F (Hidasi et al., RecSys 2016), in two of that paper's architectures."""

    modalities_as = "features"

    name: str = "gru4rec_f"
    """Which model."""
    architecture: Literal["parallel", "concat"] = "parallel"
    """Where item embeddings and features meet.

    - `parallel`: behind two networks, one over the items and one over the features, as in RecBole's
      `GRU4RecF`.
    - `concat`: before one network, whose input is a linear map of both.
    """
    width: int = Field(default=64, ge=1)
    """Width of item embeddings, projected features and user vectors."""
    hidden_width: int = Field(default=128, ge=1)
    """Width of the networks' states."""
    layers: int = Field(default=1, ge=1, le=8)
    """Layers of each network."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout on what enters the network of the items: item embeddings, or with `concat` the joined
    input."""

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """Architecture, sizes, dropout and optimisation."""
        return {
            "graph.max_history": Int(20, 50, step=10),
            "model.architecture": Choice("parallel", "concat"),
            "model.width": Choice(64, 128, 256),
            "model.hidden_width": Choice(64, 128, 256),
            "model.layers": Int(1, 2),
            "model.dropout": Float(0.0, 0.6, step=0.1),
            **training_space("softmax", "sampled_softmax", "bce", "gbce", "bpr"),
        }

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """RecBole's defaults."""
        return (
            {
                "model.architecture": "parallel",
                "model.width": 64,
                "model.hidden_width": 128,
                "model.layers": 1,
                "model.dropout": 0.3,
                **RECBOLE_TRAINING,
            },
        )


class GRU4RecF(FeatureModel):
    """GRU4Rec^F: the user vector is W [h ; g] + b with `parallel`, W h + b with `concat`.

    h is the state of a GRU over the item embeddings e and g that of a GRU over the projected
    features [f¹ ; … ; fᴹ]; with `concat`, h is that of one GRU over V [e ; f¹ ; … ; fᴹ] + c. The
    GRUs have no biases. User vectors are compared with item embeddings alone, as in RecBole.

    Deviations from RecBole's `GRU4RecF`: a category's embedding is replaced by a projected feature
    vector (`ProjectedFeatures`). The `concat` architecture is in the paper, not in RecBole; the
    map V is ours, so that the GRU's input has one width whatever the number of modalities. Without
    features both are RecBole's GRU4Rec.

    Parameters
    ----------
    config : the whole config; its model is used.
    inputs : size of the catalogue, and feature vectors.
    """

    Settings = Gru4RecFConfig

    def __init__(self, config: Config, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        settings = config.model_as(Gru4RecFConfig)
        width, hidden, n_modalities = settings.width, settings.hidden_width, len(inputs.features)
        parallel = settings.architecture == "parallel" and n_modalities > 0
        self.dropout = settings.dropout
        self.item = nn.Embedding(inputs.n_items, width)
        self.features = ProjectedFeatures(inputs.features, width)
        self.join = None
        if n_modalities and not parallel:
            self.join = nn.Linear((1 + n_modalities) * width, width)
        self.gru = _gru(width, settings)
        self.feature_gru = _gru(n_modalities * width, settings) if parallel else None
        self.output = nn.Linear((1 + parallel) * hidden, width)
        self.apply(_initialise)

    def sequence_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories at all positions; see `CausalRecommender.sequence_vectors`."""
        items_BLD = self.item(histories_BL.clamp(min=0))
        features = self.features(self.tables, histories_BL)
        if self.join is not None:
            items_BLD = self.join(torch.cat([items_BLD, *features], dim=-1))
        states = [self.gru(dropout(items_BLD, self.dropout, self.training))[0]]
        if self.feature_gru is not None:
            states.append(self.feature_gru(torch.cat(features, dim=-1))[0])
        vectors_BLD: Tensor = self.output(torch.cat(states, dim=-1))
        return vectors_BLD


def _gru(width: int, settings: Gru4RecFConfig) -> nn.GRU:
    return nn.GRU(width, settings.hidden_width, settings.layers, bias=False, batch_first=True)


def _initialise(module: nn.Module) -> None:
    """Xavier's normal distribution, as in RecBole; GRUs keep torch's start."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.xavier_normal_(module.weight)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)

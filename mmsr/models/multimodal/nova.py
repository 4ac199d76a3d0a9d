"""NOVA: side information decides what attention looks at, not what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice
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


class NovaConfig(TransformerConfig):
    """NOVA (Liu et al., AAAI 2021) with a causal transformer."""

    name: str = "nova"
    """Which model."""
    fusion: Literal["add", "concat", "gate"] = "gate"
    """How a hidden vector, its position and its features become what queries and keys are made of.

    - `add`: their sum.
    - `concat`: a linear map of all side by side.
    - `gate`: their sum with weights that depend on them.
    """

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """Fusion, sizes, dropout and optimisation."""
        return {"model.fusion": Choice("add", "concat", "gate"), **super().space()}

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """The paper's fusion with the sizes of RecBole's SASRec.

        The authors published no code, and their sizes belong to a model that reads both directions.
        """
        return (
            {
                "model.fusion": "gate",
                "model.width": 64,
                "model.layers": 2,
                "model.heads": 2,
                "model.inner_width": 256,
                "model.dropout": 0.5,
                "model.attention_dropout": 0.5,
                **RECBOLE_TRAINING,
            },
        )


class Add(nn.Module):
    """Sum of all parts."""

    def __init__(self, n_parts: int, width: int) -> None:
        super().__init__()

    def forward(self, parts_BLPD: Tensor) -> Tensor:
        """From `[B, L, P, D]` to `[B, L, D]`."""
        return parts_BLPD.sum(dim=2)


class Concat(nn.Module):
    """A linear map of all parts side by side."""

    def __init__(self, n_parts: int, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(n_parts * width, width)

    def forward(self, parts_BLPD: Tensor) -> Tensor:
        """From `[B, L, P, D]` to `[B, L, D]`."""
        fused: Tensor = self.map(parts_BLPD.flatten(start_dim=2))
        return fused


class Gate(nn.Module):
    """Sum of all parts, weighted by G = softmax(F w), F the parts as rows."""

    def __init__(self, n_parts: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, 1, bias=False)

    def forward(self, parts_BLPD: Tensor) -> Tensor:
        """From `[B, L, P, D]` to `[B, L, D]`."""
        weights_BLP1: Tensor = self.gate(parts_BLPD).softmax(dim=2)
        return (weights_BLP1 * parts_BLPD).sum(dim=2)


FUSIONS: Mapping[str, type[Add] | type[Concat] | type[Gate]] = {
    "add": Add,
    "concat": Concat,
    "gate": Gate,
}


class NOVA(FeatureModel):
    """NOVA: attention whose queries and keys read side information; values never do.

    Layer k maps hidden vectors x (at first LN(e), e the item embedding) with Q and K made of
    fusion_k(x, p, f¹, …, fᴹ) and V made of x. p is the embedding of the position, which belongs to
    the side information, and fᵐ the projected vector of modality m; both enter every layer anew.
    So hidden vectors stay in the space of item embeddings, which scores compare them with.

    Deviations from the paper: attention is causal and training predicts the next item, as in
    SASRec, where NOVA-BERT reads both directions and predicts masked items; categories are replaced
    by projected feature vectors (`ProjectedFeatures`); the paper's σ of the gate is read as the
    softmax over parts that σ means in its attention.

    Parameters
    ----------
    config : the whole config; its model and longest history are used.
    inputs : size of the catalogue, and feature vectors.
    """

    Settings = NovaConfig

    def __init__(self, config: Config, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        settings = config.model_as(NovaConfig)
        width, n_parts = settings.width, 2 + len(inputs.features)
        self.dropout = settings.dropout
        self.item = nn.Embedding(inputs.n_items, width)
        self.position = nn.Embedding(config.graph.max_history, width)
        self.features = ProjectedFeatures(inputs.features, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        fusion = FUSIONS[settings.fusion]
        self.fusions = nn.ModuleList(fusion(n_parts, width) for _ in range(settings.layers))
        self.layers = nn.ModuleList(TransformerLayer(settings) for _ in range(settings.layers))
        self.apply(initialise)

    def sequence_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories at all positions; see `CausalRecommender.sequence_vectors`."""
        x_BLD: Tensor = self.norm(self.item(histories_BL.clamp(min=0)))
        x_BLD = dropout(x_BLD, self.dropout, self.training)
        positions_BLD = self.position.weight[: histories_BL.shape[1]].expand_as(x_BLD)
        side = [positions_BLD, *self.features(self.tables, histories_BL)]
        for layer, fusion in zip(self.layers, self.fusions, strict=True):
            x_BLD = layer(x_BLD, fusion(torch.stack([x_BLD, *side], dim=2)))
        return x_BLD

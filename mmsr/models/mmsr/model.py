"""MMSR: graph-based adaptive fusion for multi-modal sequential recommendation (CIKM 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mmsr.config import Config, MmsrConfig
from mmsr.graph.codes import ModalityCodes
from mmsr.models.base import Attention, SequentialRecommender
from mmsr.models.inputs import ModelInputs
from mmsr.models.mmsr.embedding import NodeTables
from mmsr.models.mmsr.fusion import AdaptiveFusion, EarlyFusion, LateFusion
from mmsr.models.mmsr.scoring import SCORINGS

FUSIONS: dict[str, type[AdaptiveFusion] | type[EarlyFusion] | type[LateFusion]] = {
    "adaptive": AdaptiveFusion,
    "early": EarlyFusion,
    "late": LateFusion,
}


class MMSR(SequentialRecommender):
    """MMSR: it encodes histories by the fusion that the config names.

    Parameters
    ----------
    config : the whole config; its graph, model and seed are used.
    n_items : size of the catalogue.
    codes : codes by modality; without any, the model uses items alone.
    """

    Settings = MmsrConfig
    tables: NodeTables

    def __init__(self, config: Config, n_items: int, codes: Mapping[str, ModalityCodes]) -> None:
        super().__init__()
        settings = config.model_as(MmsrConfig)
        self.n_items = n_items
        self.tables = NodeTables(n_items, codes, settings.width, config.seed)
        self.fusion = FUSIONS[settings.fusion](settings, self.tables, config.graph.max_history)
        self.scoring = SCORINGS[settings.scoring]

    @classmethod
    def build(cls, config: Config, inputs: ModelInputs) -> Self:
        """Make the model that a config describes; see `SequentialRecommender.build`."""
        model = cls(config, inputs.n_items, inputs.codes)
        if config.model_as(MmsrConfig).cold_items == "codes":
            leaves = np.bincount(inputs.interactions.items, minlength=inputs.n_items) == 0
            linked = [(codes.links >= 0).any(axis=1) for codes in inputs.codes.values()]
            leaves &= np.logical_or.reduce(linked) if linked else False
            model.tables.leave_out(torch.from_numpy(np.flatnonzero(leaves)))
        return model

    def user_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories as user vectors; see `SequentialRecommender.user_vectors`."""
        vectors: Tensor = self.fusion(self.tables, histories_BL)
        return vectors

    def attention(self, history_L: Tensor) -> Attention | None:
        """What the attention reads of one history; see `Recommender.attention`."""
        return self.fusion.attention(self.tables, history_L[None])

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Item vectors by the scoring that the config names; see `SequentialRecommender`."""
        return self.scoring(self.tables, items)

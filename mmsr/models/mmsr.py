"""MMSR: graph-based adaptive fusion for multi-modal sequential recommendation (CIKM 2023)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmsr.config import Config
from mmsr.graph.codes import ModalityCodes
from mmsr.models.base import SequentialRecommender
from mmsr.models.embedding import NodeTables
from mmsr.models.fusion import AdaptiveFusion, EarlyFusion, LateFusion
from mmsr.models.scoring import SCORINGS

FUSIONS: dict[str, type[AdaptiveFusion] | type[EarlyFusion] | type[LateFusion]] = {
    "adaptive": AdaptiveFusion,
    "early": EarlyFusion,
    "late": LateFusion,
}


class MMSR(SequentialRecommender):
    """Histories to user vectors, by the fusion that the config names.

    Parameters
    ----------
    config : the whole config; graph, model and seed are read.
    n_items : size of the catalogue.
    codes : modality codes by modality name; none at all leaves a model of items alone.
    """

    def __init__(self, config: Config, n_items: int, codes: Mapping[str, ModalityCodes]) -> None:
        super().__init__()
        self.tables = NodeTables(n_items, codes, config.model.width, config.seed)
        self.fusion = FUSIONS[config.model.fusion](
            config.model, self.tables, config.graph.max_history
        )
        self.scoring = SCORINGS[config.model.scoring]

    def user_vectors(self, histories_BL: Tensor) -> Tensor:
        """User vectors `[B, D]` of int64 histories, oldest first, -1 behind the end."""
        vectors: Tensor = self.fusion(self.tables, histories_BL)
        return vectors

    def item_vectors(self) -> Tensor:
        """Item vectors `[I, D]`, by the scoring that the config names."""
        return self.scoring(self.tables)

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
    """The MMSR model: it encodes histories by the fusion that the config names.

    Parameters
    ----------
    config : the whole config; its graph, model and seed are used.
    n_items : size of the catalogue.
    codes : codes by modality; without any, the model uses items alone.
    """

    def __init__(self, config: Config, n_items: int, codes: Mapping[str, ModalityCodes]) -> None:
        super().__init__()
        self.tables = NodeTables(n_items, codes, config.model.width, config.seed)
        self.fusion = FUSIONS[config.model.fusion](
            config.model, self.tables, config.graph.max_history
        )
        self.scoring = SCORINGS[config.model.scoring]

    def user_vectors(self, histories_BL: Tensor) -> Tensor:
        """Encode histories as user vectors; see `SequentialRecommender.user_vectors`."""
        vectors: Tensor = self.fusion(self.tables, histories_BL)
        return vectors

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Item vectors by the scoring that the config names; see `SequentialRecommender`."""
        return self.scoring(self.tables, items)

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return len(self.tables.item)

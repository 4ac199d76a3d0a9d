"""How good a ranking is: metrics, and the evaluation of a model on prefixes."""

from mmsr.evaluation.metrics import (
    by_novelty,
    contributions,
    exclude_seen,
    ranked_apart,
    ranking_metrics,
    ranks_of,
)
from mmsr.evaluation.ranking import evaluate

__all__ = [
    "by_novelty",
    "contributions",
    "evaluate",
    "exclude_seen",
    "ranked_apart",
    "ranking_metrics",
    "ranks_of",
]

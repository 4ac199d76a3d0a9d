"""How good a ranking is: metrics and the evaluation of a model on prefixes."""

from mmsr.evaluation.metrics import exclude_seen, ranking_metrics, ranks_of

__all__ = ["exclude_seen", "ranking_metrics", "ranks_of"]

"""How good a ranking is: metrics, and the evaluation of a model on prefixes."""

from typing import TYPE_CHECKING, Any

from mmsr.evaluation.metrics import (
    by_novelty,
    contributions,
    exclude_seen,
    ranked_apart,
    ranking_metrics,
    ranks_of,
)

if TYPE_CHECKING:
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

if not TYPE_CHECKING:  # to mypy, a package that has it has every name

    def __getattr__(name: str) -> Any:
        """`evaluate`, which needs torch: what only reads records of a ranking does not."""
        if name == "evaluate":
            from mmsr.evaluation.ranking import evaluate

            return evaluate
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

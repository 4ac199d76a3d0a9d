"""What a study aims at: a metric of quality, and what that is weighed against.

The direction belongs to the metric. The first objective chooses each trial's best epoch, and the
others are taken at that epoch, so it is always a metric of ranking quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mmsr.config import VALID_METRICS
from mmsr.errors import UserError, unknown

ROBUST_AUC = "valid/robust_auc"
COSTS = ("cost/parameters", "cost/epoch_operations")
"""Follow from the config and the data alone (see `mmsr.training.epoch_cost`)."""
TIMES = ("time/train_seconds",)
"""Measured, of the best epoch: it is only fair where trials had the machine alike."""
AGAINST = (ROBUST_AUC, *COSTS, *TIMES, *VALID_METRICS)
"""What the first objective may be weighed against."""
_NEEDED: Mapping[str, Mapping[str, Any]] = {ROBUST_AUC: {"training.robust_auc": True}}
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def read_objectives(given: str | Sequence[str]) -> tuple[str, ...]:
    """The objectives, the first of them a metric of ranking quality.

    Raises
    ------
    UserError : none, an unknown one, or one twice.
    """
    objectives = (given,) if isinstance(given, str) else tuple(given)
    if not objectives:
        raise UserError("objective=[]: give a metric such as 'valid/mrr@20', or several")
    if objectives[0] not in VALID_METRICS:
        hint = "the first one chooses each trial's best epoch" if len(objectives) > 1 else ""
        raise unknown("objective", str(objectives[0]), VALID_METRICS, hint=hint)
    for place, objective in enumerate(objectives[1:], start=1):
        if objective not in AGAINST:
            raise unknown("objective", str(objective), AGAINST)
        if objective in objectives[:place]:
            raise UserError(f"objective {objective!r} is named twice")
    return objectives


def settings_for(objectives: Sequence[str]) -> dict[str, Any]:
    """Config values without which an objective is not measured, by dotted key."""
    return {key: value for name in objectives for key, value in _NEEDED.get(name, {}).items()}


def is_cost(objective: str) -> bool:
    """Whether the objective is known before a trial is trained."""
    return objective in COSTS


def minimised(objective: str) -> bool:
    """Whether less is better."""
    return objective in (*COSTS, *TIMES)


def directions(objectives: Sequence[str]) -> list[Literal["minimize", "maximize"]]:
    """Directions in Optuna's words."""
    return ["minimize" if minimised(name) else "maximize" for name in objectives]


def in_words(objectives: Sequence[str]) -> str:
    """The objectives and their directions."""
    words = f"maximising {objectives[0]}"
    against = [f"{'less' if minimised(o) else 'more'} {o}" for o in objectives[1:]]
    return f"{words} against {', '.join(against)}" if against else words


def shown(objective: str, value: float) -> str:
    """A value as people write it: percent, seconds, or few digits of a large number."""
    if objective in TIMES:
        return f"{value:.3g} s"
    if objective not in COSTS:
        return f"{100 * value:.3f}"
    scale, prefix = next(((s, p) for s, p in _PREFIXES if value >= s), (1.0, ""))
    return f"{value / scale:.3g} {prefix}".strip()


def dominates(one: Sequence[float], other: Sequence[float], objectives: Sequence[str]) -> bool:
    """Whether values are nowhere worse than others, and somewhere better."""
    signs = [-1.0 if minimised(name) else 1.0 for name in objectives]
    gains = [sign * (a - b) for sign, a, b in zip(signs, one, other, strict=True)]
    return min(gains) >= 0 and max(gains) > 0

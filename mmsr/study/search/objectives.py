"""The objectives of a study: a metric of ranking quality, and others traded off against it.

Whether an objective is maximised or minimised follows from its name. The first objective chooses
each trial's best epoch, so it is always a metric of ranking quality; the others are measured at
that epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mmsr.config import VALID_METRICS, minimised
from mmsr.data.closed import RULE
from mmsr.errors import UserError, unknown
from mmsr.errors import shown as shorten
from mmsr.format import short

ROBUST_AUC = "valid/robust_auc"
COSTS = ("cost/parameters", "cost/epoch_operations")
"""Costs of a config, known before training (see `mmsr.training.epoch_cost`)."""
TIMES = ("time/train_seconds",)
"""Measured times of the best epoch; comparable only if all trials had equally busy machines."""
AGAINST = (ROBUST_AUC, *COSTS, *TIMES, *VALID_METRICS)
"""Objectives that may be traded off against the first one."""
_NEEDED: Mapping[str, Mapping[str, Any]] = {ROBUST_AUC: {"training.robust_auc": True}}
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def read_objectives(given: str | Sequence[str]) -> tuple[str, ...]:
    """The objectives of a study as a tuple, checked; the first is a metric of ranking quality.

    Parameters
    ----------
    given : one objective, or several.

    Raises
    ------
    UserError : none is given, one is unknown or of test, or one is named twice.
    """
    objectives = (given,) if isinstance(given, str) else tuple(given)
    if not objectives:
        raise UserError("objective=[]: give a metric such as 'valid/mrr@20', or several")
    for objective in objectives:
        if not isinstance(objective, str):
            raise unknown("objective", shorten(objective), VALID_METRICS)
        check_not_of_test("objective", objective)
    if objectives[0] not in VALID_METRICS:
        hint = "the first one chooses each trial's best epoch" if len(objectives) > 1 else ""
        raise unknown("objective", objectives[0], VALID_METRICS, hint=hint)
    for place, objective in enumerate(objectives[1:], start=1):
        if objective not in AGAINST:
            raise unknown("objective", objective, AGAINST)
        if objective in objectives[:place]:
            raise UserError(f"objective {objective!r} is named twice")
    return objectives


def check_not_of_test(what: str, metric: object) -> None:
    """Refuse a metric that is measured on test.

    Parameters
    ----------
    what : what the metric was given for.
    metric : its name.

    Raises
    ------
    UserError : it is one of test.
    """
    if str(metric).startswith("test"):
        raise UserError(f"{what} {metric!r}: {RULE}; give a metric such as 'valid/mrr@20'")


def settings_for(objectives: Sequence[str]) -> dict[str, Any]:
    """Config values, by dotted key, that are needed to measure `objectives`."""
    return {key: value for name in objectives for key, value in _NEEDED.get(name, {}).items()}


def is_cost(objective: str) -> bool:
    """Whether `objective` is known before a trial is trained."""
    return objective in COSTS


def directions(objectives: Sequence[str]) -> list[Literal["minimize", "maximize"]]:
    """The directions of `objectives`, as Optuna names them."""
    return ["minimize" if minimised(name) else "maximize" for name in objectives]


def in_words(objectives: Sequence[str]) -> str:
    """The `objectives` and their directions in words, e.g. `maximising valid/mrr@20`."""
    words = f"maximising {objectives[0]}"
    against = [f"{'less' if minimised(o) else 'more'} {o}" for o in objectives[1:]]
    return f"{words} against {', '.join(against)}" if against else words


def shown(objective: str, value: float) -> str:
    """A value as tables show it: percent, seconds, or a few digits of a large number.

    Parameters
    ----------
    objective : what the value measures.
    value : a share in [0, 1], seconds, or a count.
    """
    if objective in TIMES:
        return f"{short(value)} s"
    if objective not in COSTS:
        return f"{100 * value:.3f}"
    value = float(f"{value:.3g}")  # 999,700 is 1 M
    scale, prefix = next(((s, p) for s, p in _PREFIXES if value >= s), (1.0, ""))
    return f"{short(value / scale)} {prefix}".strip()

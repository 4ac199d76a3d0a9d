"""Budgets of time: wall clock, CPU-hours and GPU-hours, counted over all runs of a study.

Time counts while a driver runs trials. CPU- and GPU-hours are the hours of the running trials times
what each of them gets. When a budget is used up, no further trial starts, and running trials stop
at once. Their last epoch is kept, and they resume from it if the same command is run with a higher
budget. If a driver is killed, at most its last seconds are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmsr.format import short

if TYPE_CHECKING:
    import optuna

RULE = (
    "whichever is reached first ends the study; running trials stop, a higher budget resumes them"
)
BUDGET, SPENT = "budget", "spent_hours"
"""Attributes of a study: its limits, and the hours that were spent."""
KINDS = {"hours": "h", "cpu_hours": "CPU-hours", "gpu_hours": "GPU-hours"}


@dataclass(frozen=True)
class Budget:
    """The hours that a study may take over all its runs; None sets no limit."""

    hours: float | None = None
    cpu_hours: float | None = None
    gpu_hours: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by kind."""
        found = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: limit for kind, limit in found.items() if limit is not None}

    def __str__(self) -> str:
        return " and ".join(f"{limit:g} {KINDS[kind]}" for kind, limit in self.limits.items())

    def used_up(self, spent: dict[str, float]) -> str | None:
        """The first limit that `spent` reaches, in words; None while it reaches none.

        Parameters
        ----------
        spent : hours by kind.
        """
        for kind, limit in self.limits.items():
            if spent.get(kind, 0.0) >= limit:
                return f"budget of {limit:g} {KINDS[kind]} is used up"
        return None

    def told(self, spent: dict[str, float]) -> str:
        """How much of each limit is spent, in words.

        Parameters
        ----------
        spent : hours by kind.
        """
        parts = [
            f"{short(spent.get(kind, 0.0))} of {limit:g} {KINDS[kind]}"
            for kind, limit in self.limits.items()
        ]
        return f"budget: {', '.join(parts)}"


def spent_hours(study: optuna.Study) -> dict[str, float]:
    """The hours that all drivers of `study` have spent, by kind."""
    return dict(study.user_attrs.get(SPENT, {}))


def budget_used_up(attributes: Mapping[str, Any]) -> str | None:
    """Which budget of a study is used up, in words; None while none is.

    Parameters
    ----------
    attributes : the study's.
    """
    return Budget(**attributes.get(BUDGET, {})).used_up(attributes.get(SPENT, {}))

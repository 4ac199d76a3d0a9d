"""Budgets in time: wall clock, CPU-hours, GPU-hours, counted over all drivers of a study.

What counts is the time in which a driver runs trials; CPU- and GPU-hours are those of the trials
under way, times what each of them gets. When one of them is used up, nothing new is started, and
trials under way stop at once with what they have: their last epoch is kept, and they go on from it
when the same command is given with a higher budget. A driver that is killed loses count of its last
seconds at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

RULE = "whichever is used up first ends the study; trials under way stop, and go on with more"
BUDGET, SPENT = "budget", "spent_hours"
"""Attributes of a study: its limits, and what was spent of them."""
KINDS = {"hours": "h", "cpu_hours": "CPU-hours", "gpu_hours": "GPU-hours"}


@dataclass(frozen=True)
class Budget:
    """What a study may take in all, in hours; None sets no limit."""

    hours: float | None = None
    cpu_hours: float | None = None
    gpu_hours: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """Those that are set, by kind."""
        found = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: limit for kind, limit in found.items() if limit is not None}

    def __str__(self) -> str:
        return " and ".join(f"{limit:g} {KINDS[kind]}" for kind, limit in self.limits.items())

    def used_up(self, spent: dict[str, float]) -> str | None:
        """The first limit that is reached, in words."""
        for kind, limit in self.limits.items():
            if spent.get(kind, 0.0) >= limit:
                return f"budget of {limit:g} {KINDS[kind]} is used up"
        return None

    def told(self, spent: dict[str, float]) -> str:
        """How much of each limit is spent."""
        parts = [
            f"{spent.get(kind, 0.0):.3g} of {limit:g} {KINDS[kind]}"
            for kind, limit in self.limits.items()
        ]
        return f"budget: {', '.join(parts)}"


def spent_hours(study: optuna.Study) -> dict[str, float]:
    """What all drivers of a study have spent, by kind."""
    return dict(study.user_attrs.get(SPENT, {}))


def budget_used_up(study: optuna.Study) -> str | None:
    """Why a study's budget has ended it; None where it has not."""
    return Budget(**study.user_attrs.get(BUDGET, {})).used_up(spent_hours(study))

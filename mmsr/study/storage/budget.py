"""Budgets in time: wall clock, CPU-hours, GPU-hours, counted over all drivers of a study.

What counts is the time in which a driver runs trials; CPU- and GPU-hours are those of the trials
under way, times what each of them gets. When one of them is used up, nothing new is started, and
trials under way stop at once with what they have: their last epoch is kept, and they go on from it
when the same command is given with a higher budget. A driver that is killed loses count of its last
seconds at most.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmsr.errors import UserError
from mmsr.study.workers.messages import Ending, Proposal, Report
from mmsr.study.workers.resources import Resources

if TYPE_CHECKING:
    import optuna

RULE = "whichever is used up first ends the study; trials under way stop, and go on with more"
_SAVE_SECONDS = 5.0
_BUDGET, _SPENT = "budget", "spent_hours"
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


def read_budget(given: dict[str, Any], resources: Resources) -> Budget:
    """Budget of a study and its command line.

    Raises
    ------
    UserError : no positive number, or hours of what trials do not use.
    """
    for kind, limit in given.items():
        option = f"--{kind.replace('_', '-')}"
        number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if limit is not None and (not number or not 0 < limit < math.inf):
            raise UserError(f"{option} {limit!r}: give a number of hours above 0, e.g. 1.5")
        used = {"cpu_hours": resources.cpu, "gpu_hours": resources.gpu}.get(kind, 1.0)
        if limit is not None and not used and not resources.auto:
            raise UserError(
                f"{option} {limit:g}: trials use none of it (they get {resources}), so it would "
                "never be used up; give --hours, or resources that have it"
            )
    return Budget(**given)


def spent_hours(study: optuna.Study) -> dict[str, float]:
    """What all drivers of a study have spent, by kind."""
    return dict(study.user_attrs.get(_SPENT, {}))


def budget_used_up(study: optuna.Study) -> str | None:
    """Why a study's budget has ended it; None where it has not."""
    return Budget(**study.user_attrs.get(_BUDGET, {})).used_up(spent_hours(study))


class Meter:
    """Observer that counts what trials take, and asks for the end when the budget is used up.

    Parameters
    ----------
    study : where the count is kept.
    budget : the limits; they are kept as well, for those who look at the study.
    resources : what each trial gets.
    clock : seconds, for tests.
    """

    def __init__(
        self,
        study: optuna.Study,
        budget: Budget,
        resources: Resources,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study, self._budget, self._clock = study, budget, clock
        self._rates = {"cpu_hours": resources.cpu, "gpu_hours": resources.gpu}
        self.spent = dict.fromkeys(KINDS, 0.0) | spent_hours(study)
        self._live: set[int] = set()
        self._last = self._saved = clock()
        if study.user_attrs.get(_BUDGET, {}) != budget.limits:
            study.set_user_attr(_BUDGET, budget.limits)

    def used_up(self) -> str | None:
        """Why the study is at its end; None while it is not."""
        self._count()
        return self._budget.used_up(self.spent)

    def started(self, proposal: Proposal, runner_id: str) -> None:
        """A trial was handed to the runner."""
        self._count()
        self._live.add(proposal.number)

    def reported(self, proposal: Proposal, report: Report) -> None:
        """A trial has finished an epoch."""

    def recovered(self, proposal: Proposal, reason: str) -> None:
        """A trial's worker died, and the trial goes on elsewhere."""

    def ended(self, proposal: Proposal, ending: Ending) -> None:
        """A trial is over."""
        self._count()
        self._live.discard(proposal.number)

    def close(self) -> None:
        """The driver ends."""
        self._count()
        self._save()

    def _count(self) -> None:
        now = self._clock()
        hours, self._last = (now - self._last) / 3600, now
        self.spent["hours"] += hours
        for kind, rate in self._rates.items():
            self.spent[kind] += hours * rate * len(self._live)
        if self._budget.limits and now - self._saved >= _SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        self._saved = self._last
        self._study.set_user_attr(_SPENT, self.spent)

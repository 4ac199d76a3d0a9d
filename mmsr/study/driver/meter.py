"""The meter: an observer that counts the hours that trials use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mmsr.study.storage.budget import BUDGET, KINDS, SPENT, Budget, spent_hours
from mmsr.study.workers.messages import Ending, Proposal, Report
from mmsr.study.workers.resources import Resources

if TYPE_CHECKING:
    import optuna

_SAVE_SECONDS = 5.0


class Meter:
    """Observer that counts the hours that trials use, for the study's budget.

    Parameters
    ----------
    study : where the count is stored.
    budget : the limits; stored as well, for commands that look at the study.
    resources : what each trial gets.
    clock : returns seconds; replaced in tests.
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
        if study.user_attrs.get(BUDGET, {}) != budget.limits:
            study.set_user_attr(BUDGET, budget.limits)

    def used_up(self) -> str | None:
        """Which limit is used up, in words; None while none is."""
        self._count()
        return self._budget.used_up(self.spent)

    def started(self, proposal: Proposal, runner_id: str) -> None:
        """Start to count a trial, which was handed to the runner."""
        self._count()
        self._live.add(proposal.number)

    def reported(self, proposal: Proposal, report: Report) -> None:
        """Nothing to count: a trial has finished an epoch."""

    def recovered(self, proposal: Proposal, reason: str) -> None:
        """Nothing to count: a trial's worker died, and the trial resumes on another one."""

    def ended(self, proposal: Proposal, ending: Ending) -> None:
        """Stop counting a trial, which has ended."""
        self._count()
        self._live.discard(proposal.number)

    def close(self) -> None:
        """Store the count: the driver ends."""
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
        self._study.set_user_attr(SPENT, self.spent)

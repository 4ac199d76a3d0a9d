"""A trial under way, as the ledger sees it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import optuna

from mmsr.study.workers.messages import Proposal, Report


@dataclass
class RunningTrial:
    """A trial that the runner has."""

    trial: optuna.Trial
    proposal: Proposal
    reported: set[int]
    started: float = field(default_factory=time.monotonic)
    report: Report | None = None
    deaths: list[str] = field(default_factory=list)
    """What its workers died of since its newest epoch."""
    since: float | None = None
    """When a worker began to train it, or last reported; None while none has it."""

    @property
    def trained(self) -> float:
        """Seconds of training, those since the last report included."""
        told = self.report.seconds if self.report else 0.0
        return told if self.since is None else told + time.monotonic() - self.since

    @property
    def seconds(self) -> float:
        return self.report.seconds if self.report else time.monotonic() - self.started

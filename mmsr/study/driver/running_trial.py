"""A running trial, as the ledger tracks it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import optuna

from mmsr.study.workers.messages import Proposal, Report


@dataclass
class RunningTrial:
    """A trial that was handed to the runner and has not ended."""

    trial: optuna.Trial
    proposal: Proposal
    reported: set[int]
    started: float = field(default_factory=time.monotonic)
    report: Report | None = None
    deaths: list[str] = field(default_factory=list)
    """Why its workers died, since its newest epoch."""
    since: float | None = None
    """When its worker started to train or last reported, by `time.monotonic`; None while no worker
    has it."""

    @property
    def trained(self) -> float:
        """Seconds of training, including those since the last report."""
        told = self.report.seconds if self.report else 0.0
        return told if self.since is None else told + time.monotonic() - self.since

    @property
    def seconds(self) -> float:
        """Seconds of training at the last report; without one, since the trial was handed out."""
        return self.report.seconds if self.report else time.monotonic() - self.started

"""How a run speaks of its trials: on the terminal, and to the tracking server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from mmsr.study.driver.reporting import TrackedStudy, journal_of
from mmsr.study.planning.plan import Plan
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.dry_run import show_end
from mmsr.study.views.live_table import name_by_number
from mmsr.study.workers.messages import Proposal
from mmsr.tracking.shipper import JournalTracker

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Telling:
    """How a run speaks of its trials."""

    end: Callable[[Plan, Sequence[TrialRow], Console], None] = show_end
    """Called at the end with the study's trials."""
    name_of: Callable[[Proposal], str] = name_by_number
    """What a trial is called while it runs."""
    shown: str | None = None
    """Metric shown while trials run, none of which is the best; None stands for the objective."""
    journal: Callable[[Plan, optuna.Study, Callable[[str], None]], JournalTracker] = journal_of
    """Opens the journal that notes go to."""
    track: type[TrackedStudy] = TrackedStudy
    """What takes the notes."""

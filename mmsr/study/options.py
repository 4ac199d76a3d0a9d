"""What a study's command line says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Options:
    """Choices of one run; None leaves the study's own value."""

    name: str | None = None
    trials: int | None = None
    epochs: int | None = None
    trial_hours: float | None = None
    seed: int | None = None
    sampler: str | None = None
    pruner: str | None = None
    address: str | None = None
    storage: str | None = None
    tracking_uri: str | None = None
    resume: bool = False
    dry_run: bool = False
    hours: float | None = None
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    warm_start: str | None = None
    settings: Mapping[str, Any] | None = None
    """Config keys fixed by --set."""

"""What a trial gets of a machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmsr.errors import UserError, unknown


@dataclass(frozen=True)
class Resources:
    """What one trial gets."""

    cpu: float = 1.0
    gpu: float = 0.0

    @property
    def threads(self) -> int:
        """CPU threads of one trial."""
        return max(1, int(self.cpu))

    def __str__(self) -> str:
        return f"{self.cpu:g} CPU" + (f", {self.gpu:g} GPU" if self.gpu else "")

    def fit(self, cpus: float, gpus: float) -> int:
        """How many trials a node of this size runs at once."""
        by_cpu = math.floor(cpus / self.cpu + 1e-9) if self.cpu else math.inf
        by_gpu = math.floor(gpus / self.gpu + 1e-9) if self.gpu else math.inf
        return int(min(by_cpu, by_gpu))


def read_resources(given: Mapping[str, Any]) -> Resources:
    """Resources from a study's mapping.

    Raises
    ------
    UserError : an unknown kind, or an amount that is none.
    """
    for key, value in given.items():
        if key not in ("cpu", "gpu"):
            raise unknown("resource", str(key), ("cpu", "gpu"))
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise UserError(f"resources: {key}={value!r}: give a finite number of at least 0")
    resources = Resources(cpu=float(given.get("cpu", 1)), gpu=float(given.get("gpu", 0)))
    if not resources.cpu and not resources.gpu:
        raise UserError("resources: a trial needs some cpu or gpu, e.g. {'cpu': 1}")
    return resources

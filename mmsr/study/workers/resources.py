"""Resources: what a trial gets, and what a node has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmsr.errors import UserError, shown, unknown
from mmsr.numbers import is_number

AUTO = "auto"
"""Given as a study's resources: measure one trial, and pack trials accordingly."""
GB = 1e9
_MOST = 1e9
"""More of anything than a cluster has."""
_KINDS = ("cpu", "gpu", "memory_gb")


@dataclass(frozen=True)
class Node:
    """What one node of the cluster has for trials."""

    cpus: float
    gpus: float = 0.0
    memory: float = math.inf
    """Bytes; infinite if the node does not report it."""

    def __str__(self) -> str:
        memory = f", {self.memory / GB:.1f} GB" if math.isfinite(self.memory) else ""
        return f"{self.cpus:g} CPU, {self.gpus:g} GPU{memory}"


@dataclass(frozen=True)
class Resources:
    """What one trial gets."""

    cpu: float = 1.0
    gpu: float = 0.0
    memory: float = 0.0
    """Bytes of main memory that are reserved for it; 0 reserves none."""
    auto: bool = False
    """Whether it is still to be measured on the cluster, before the first trial."""

    @property
    def threads(self) -> int:
        """CPU threads of one trial."""
        return max(1, int(self.cpu))

    def __str__(self) -> str:
        if self.auto:
            return "what a measured trial needs"
        kinds = [f"{self.cpu:g} CPU"]
        kinds += [f"{self.gpu:g} GPU"] if self.gpu else []
        kinds += [f"{self.memory / GB:.2g} GB"] if self.memory else []
        return ", ".join(kinds)

    def fit(self, node: Node) -> int:
        """How many trials `node` runs at once."""
        counts = [has / wanted for has, wanted in self._shares(node) if wanted]
        return math.floor(min(counts) + 1e-9)

    def _shares(self, node: Node) -> list[tuple[float, float]]:
        """What the node has and what a trial needs; a share of a GPU lies on a single GPU."""
        if 0 < self.gpu < 1:
            gpus = (node.gpus * math.floor(1 / self.gpu + 1e-9), 1.0)
        else:
            gpus = (node.gpus, self.gpu)
        return [(node.cpus, self.cpu), gpus, (node.memory, self.memory)]

    def for_ray(self) -> dict[str, float]:
        """The same resources, as Ray names them."""
        return {"cpu": self.cpu, "gpu": self.gpu, "memory": self.memory}


def read_resources(given: Mapping[str, Any] | str) -> Resources:
    """The resources of a study, checked.

    Parameters
    ----------
    given : amounts by kind (`cpu`, `gpu`, `memory_gb`), or "auto".

    Raises
    ------
    UserError : an unknown kind, or an amount that is not allowed.
    """
    if isinstance(given, str):
        if given != AUTO:
            raise UserError(
                f"resources={shown(given)}: give 'auto' or a mapping such as {{'cpu': 1, 'gpu': 0}}"
            )
        return Resources(auto=True)
    for key, value in given.items():
        if key not in _KINDS:
            raise unknown("resource", str(key), _KINDS)
        if not is_number(value) or not 0 <= value <= _MOST:
            raise UserError(
                f"resources: {key}={shown(value)}: give a finite number of at least 0, "
                f"at most {_MOST:g}"
            )
    gpu = float(given.get("gpu", 0))
    if gpu > 1 and gpu != int(gpu):
        raise UserError(
            f"resources: gpu={gpu:g}: a trial gets a share of one GPU or whole ones: give a number "
            "of at most 1, or a whole number"
        )
    resources = Resources(
        cpu=float(given.get("cpu", 1)), gpu=gpu, memory=GB * float(given.get("memory_gb", 0))
    )
    if not resources.cpu and not resources.gpu:
        raise UserError("resources: a trial needs some cpu or gpu, e.g. {'cpu': 1}")
    return resources

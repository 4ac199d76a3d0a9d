"""The results of measuring a model's robustness, with their provenance."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from mmsr.evaluation.knockouts import Knockouts
from mmsr.evaluation.sweep import Curves

NAME = "robustness"


class Results(BaseModel):
    """Curves and knock-outs of one model, or of several refits, on one part of the data."""

    model_config = ConfigDict(frozen=True)

    name: str
    origin: str
    part: str
    """`valid`; or `test`, if measured while `finalize` had it open."""
    trial: int | None
    dataset: str
    dataset_hash: str
    protocol: str
    config: dict[str, Any]
    command: str
    created_at: str
    code: dict[str, str]
    curves: Curves
    knockouts: Knockouts | None


def label(modalities: tuple[str, ...]) -> str:
    """A subset of `modalities` in words, e.g. `image + text`."""
    return " + ".join(modalities)

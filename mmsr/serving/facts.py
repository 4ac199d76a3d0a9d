"""What is known of how a model was made and what it scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from mmsr.data import Dataset, Part
from mmsr.study.results.finalized import ConfigFigures
from mmsr.training.checkpoint import CheckpointState


class Tested(BaseModel):
    """The test result of a config's refits, of which the model is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: int
    """Number of refits."""
    mean: dict[str, float]
    """Test metrics, mean over the refits."""
    std: dict[str, float] = {}
    """Sample standard deviation over them; empty for a single one."""
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    """95 % interval over users."""

    @classmethod
    def of(cls, figures: ConfigFigures) -> Self:
        """The test result of a finalized config."""
        finished = sum(one.error is None for one in figures.seeds)
        return cls(
            seeds=finished,
            mean=figures.mean,
            std=figures.std,
            low=figures.low,
            high=figures.high,
        )


class Facts(BaseModel):
    """How a model was made and what it scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    dataset_hash: str
    protocol: str
    users: int
    items: int
    interactions: int
    """Counts of the data set."""
    part: Part
    """What the model was trained on."""
    epoch: int
    """The epoch whose weights it has."""
    seed: int
    study: str | None = None
    trial: int | None = None
    validation: dict[str, float] = {}
    """Validation metrics of the trial that chose the config and the number of epochs."""
    test: Tested | None = None
    """None where test was not opened for this model's config."""

    @classmethod
    def of(cls, state: CheckpointState, dataset: Dataset, more: Mapping[str, Any]) -> Self:
        """What a checkpoint and its data set know.

        Parameters
        ----------
        state : the checkpoint's.
        dataset : its data set.
        more : fields that they do not know, or know otherwise.
        """
        counts = dataset.manifest.counts
        found = {k: v for k, v in state.best_metrics.items() if k.startswith("valid/")}
        known = {
            "dataset": dataset.name,
            "dataset_hash": state.dataset_hash,
            "protocol": dataset.protocol,
            "users": counts.users,
            "items": counts.items,
            "interactions": counts.interactions,
            "part": state.part,
            "epoch": state.best_epoch,
            "validation": found,
        }
        return cls(**{**known, **more})

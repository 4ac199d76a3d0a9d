"""What a worker runs to finalise: the ordinary training, on more data or with another seed.

A study maximises something that every epoch reports; refits have no validation part, so for finals
that is the share of the epochs that is done, which nothing is chosen by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.finalize import DONE
from mmsr.training import EpochResult, train


@dataclass(frozen=True)
class FinalEpoch:
    """An epoch of training, with the share that is done among its metrics."""

    epoch: int
    metrics: dict[str, float]
    best_epoch: int
    best_metrics: dict[str, float]
    finished: bool
    _inner: EpochResult

    def save_checkpoint(self, folder: Path) -> None:
        """Write what training continues from, and the model."""
        self._inner.save_checkpoint(folder)


def refit(
    config: Config, dataset: Dataset, *, device: str = "auto", resume: Path | None = None
) -> Iterator[FinalEpoch]:
    """Train on train + validation for all of the config's epochs."""
    for result in train(config, dataset, part="development", device=device, resume=resume):
        yield _counted(result, config)


def reseed(
    config: Config, dataset: Dataset, *, device: str = "auto", resume: Path | None = None
) -> Iterator[FinalEpoch]:
    """Train as a trial does: on the training part, the best epoch chosen on validation."""
    for result in train(config, dataset, device=device, resume=resume):
        yield _counted(result, config)


def _counted(result: EpochResult, config: Config) -> FinalEpoch:
    done = {DONE: 1.0 if result.finished else result.epoch / config.training.epochs}
    return FinalEpoch(
        epoch=result.epoch,
        metrics={**result.metrics, **done},
        best_epoch=result.best_epoch,
        best_metrics={**result.best_metrics, **done},
        finished=result.finished,
        _inner=result,
    )

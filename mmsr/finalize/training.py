"""The trainers of final runs: ordinary training, on more data or with another seed.

A study maximises something that every epoch reports. Refits have no validation part, so final runs
report the share of their epochs that is done instead; nothing is chosen by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.finalize import DONE
from mmsr.training import EpochResult, Progress, train


@dataclass(frozen=True)
class Epoch:
    """An epoch of training as a study sees it: its metrics need not be those of the loop alone."""

    epoch: int
    metrics: dict[str, float]
    best_epoch: int
    best_metrics: dict[str, float]
    finished: bool
    _save: Callable[[Path], None]

    def save_checkpoint(self, folder: Path) -> None:
        """Write the model, and what training needs to resume, to `folder`."""
        self._save(folder)


def refit(
    config: Config,
    dataset: Dataset,
    *,
    device: str = "auto",
    resume: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Epoch]:
    """Train on train + validation for all epochs of the config.

    Parameters
    ----------
    config, dataset, device, resume, progress : as for `mmsr.training.train`.
    """
    for result in train(
        config, dataset, part="development", device=device, resume=resume, progress=progress
    ):
        yield _counted(result, config)


def reseed(
    config: Config,
    dataset: Dataset,
    *,
    device: str = "auto",
    resume: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Epoch]:
    """Train as a trial does: on the training part, with the best epoch chosen on validation.

    Parameters
    ----------
    config, dataset, device, resume, progress : as for `mmsr.training.train`.
    """
    for result in train(config, dataset, device=device, resume=resume, progress=progress):
        yield _counted(result, config)


def _counted(result: EpochResult, config: Config) -> Epoch:
    done = {DONE: 1.0 if result.finished else result.epoch / config.training.epochs}
    return Epoch(
        epoch=result.epoch,
        metrics={**result.metrics, **done},
        best_epoch=result.best_epoch,
        best_metrics={**result.best_metrics, **done},
        finished=result.finished,
        _save=result.save_checkpoint,
    )

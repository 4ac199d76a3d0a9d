"""Training that chooses its best epoch on test, as the paper's authors did: TEST-SELECTED.

Such figures are too good: they are the best of many looks at the test part. They exist only to be
compared with published figures that were made in the same way. Only `mmsr reproduce --select-on
test` uses this trainer. All its metrics are named `test-selected/…`, so a study that maximises a
validation metric cannot use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import load_file, save_file

from mmsr.config import METRICS, Config
from mmsr.data import Dataset
from mmsr.data.held_out import open_test
from mmsr.evaluation import ranking_metrics
from mmsr.study.results.held_out import rank
from mmsr.study.storage.definition import TEST_SELECTED
from mmsr.training import EpochResult, train

RANKS_FILE, STATE_FILE = "selected_on_test.safetensors", "selected_on_test.json"
_USERS = "users"


class BestOnTest(BaseModel):
    """The best epoch of each metric so far, as measured on test."""

    model_config = ConfigDict(frozen=True)

    epochs: dict[str, int] = {}
    values: dict[str, float] = {}
    improved: int = 0
    """Newest epoch that was the best so far by any metric."""
    finished: bool = False


@dataclass(frozen=True)
class SelectedOnTest:
    """The outcome of one epoch; `metrics` and `best_metrics` are measured on test."""

    epoch: int
    metrics: dict[str, float]
    best_epoch: int
    best_metrics: dict[str, float]
    """Each metric at the epoch where it was best."""
    finished: bool
    best: BestOnTest
    ranks: Mapping[str, NDArray[np.int64]]
    """Ranks of the test targets at the best epoch of each metric."""
    users: NDArray[np.int32]
    _inner: EpochResult

    def save_checkpoint(self, folder: Path) -> None:
        """Write the model, the best epochs and their ranks to `folder`, which must not exist."""
        self._inner.save_checkpoint(folder)
        arrays = {name: ranks.astype(np.int32) for name, ranks in self.ranks.items()}
        save_file({**arrays, _USERS: self.users}, folder / RANKS_FILE)
        (folder / STATE_FILE).write_text(self.best.model_dump_json())


def train_selecting_on_test(
    config: Config, dataset: Dataset, *, device: str = "auto", resume: Path | None = None
) -> Iterator[SelectedOnTest]:
    """Train on train + validation, rank test after every epoch, keep each metric's best epoch.

    Training ends after `config.training.epochs`, or when no metric has improved for
    `config.training.patience` epochs.

    Parameters
    ----------
    config, dataset, device, resume : as for `mmsr.training.train`.
    """
    test = open_test(
        dataset, who="mmsr reproduce --select-on test", why="choosing a run's best epoch on test"
    )
    best, ranks = BestOnTest(), dict[str, NDArray[np.int64]]()
    if resume is not None:
        best, ranks, _ = read_best(resume)
    if best.finished:
        return
    for result in train(config, dataset, part="development", device=device, resume=resume):
        now = rank(result.model, test, config)
        values = ranking_metrics(now)
        better = [name for name in METRICS if values[name] > best.values.get(name, -1.0)]
        ranks = {**ranks, **dict.fromkeys(better, now)}
        improved = result.epoch if better else best.improved
        best = BestOnTest(
            epochs={**best.epochs, **dict.fromkeys(better, result.epoch)},
            values={**best.values, **{name: values[name] for name in better}},
            improved=improved,
            finished=result.finished or result.epoch - improved >= config.training.patience,
        )
        yield SelectedOnTest(
            epoch=result.epoch,
            metrics={**result.metrics, **_named(values)},
            best_epoch=best.epochs[config.training.select_by.removeprefix("valid/")],
            best_metrics=_named(best.values),
            finished=best.finished,
            best=best,
            ranks=ranks,
            users=test.users,
            _inner=result,
        )
        if best.finished:
            return


def read_best(folder: Path) -> tuple[BestOnTest, dict[str, NDArray[np.int64]], NDArray[np.int32]]:
    """The best epochs, their ranks by metric, and the targets' users, from a checkpoint.

    Parameters
    ----------
    folder : folder of the checkpoint.
    """
    best = BestOnTest.model_validate_json((folder / STATE_FILE).read_text())
    arrays = load_file(folder / RANKS_FILE)
    users = arrays.pop(_USERS)
    return best, {name: ranks.astype(np.int64) for name, ranks in arrays.items()}, users


def _named(values: Mapping[str, float]) -> dict[str, float]:
    return {f"{TEST_SELECTED}/{name}": value for name, value in values.items()}

"""The trainers of reproduced tables: a run chooses its epoch on validation, then is refitted.

Stage 1 trains on the training part to early stopping. Stage 2 trains anew, with the same seed, on
train + validation for the number of epochs that stage 1 chose. Its model is the one that ranks test
later; a trial never reads test.

A checkpoint holds what that of any trial does, so the best model is the one that validation chose.
In stage 2 it also holds

- `refit.safetensors`, `refit.json`: the refitted model and the state of stage 2,
- `epoch-….safetensors`: the model of each of its epochs, where all are kept.

Epochs are counted on from stage 1 to stage 2. In stage 2, the best epoch and the objective are
those of the chosen one.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from safetensors.torch import save_file

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.finalize.training import Epoch
from mmsr.paths import shared_as_usual
from mmsr.training import EpochResult, Progress, read_checkpoint_state, train
from mmsr.training.checkpoint import AVERAGE, BEST, MODEL, OPTIMIZER, STATE

REFIT, REFIT_STATE = "refit.safetensors", "refit.json"
EPOCHS = "epoch-*.safetensors"
_TO_RESUME = (MODEL, OPTIMIZER, AVERAGE)


def train_and_refit(
    config: Config,
    dataset: Dataset,
    *,
    device: str = "auto",
    resume: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Epoch]:
    """Choose the number of epochs on validation, then train on train + validation for as many.

    Parameters
    ----------
    config, dataset, device, resume, progress : as for `mmsr.training.train`.
    """
    return _two_stages(config, dataset, device, resume, progress, keep=False)


def train_and_keep_epochs(
    config: Config,
    dataset: Dataset,
    *,
    device: str = "auto",
    resume: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Epoch]:
    """As `train_and_refit`, but stage 2 adds the patience to its epochs and keeps all models.

    Parameters
    ----------
    config, dataset, device, resume, progress : as for `mmsr.training.train`.
    """
    return _two_stages(config, dataset, device, resume, progress, keep=True)


def _two_stages(
    config: Config,
    dataset: Dataset,
    device: str,
    resume: Path | None,
    progress: Callable[[Progress], None] | None,
    *,
    keep: bool,
) -> Iterator[Epoch]:
    with tempfile.TemporaryDirectory(prefix="mmsr-") as scratch:
        chosen, kept = Path(scratch) / "chosen", Path(scratch) / "epochs"
        yield from _choose(config, dataset, device, resume, progress, chosen)
        yield from _refit(config, dataset, device, resume, progress, chosen, kept if keep else None)


def _choose(
    config: Config,
    dataset: Dataset,
    device: str,
    resume: Path | None,
    progress: Callable[[Progress], None] | None,
    chosen: Path,
) -> Iterator[Epoch]:
    """Stage 1; its best model and its state are left in the folder `chosen`."""

    def goes_on(there: Progress) -> None:
        if progress is not None:
            progress(dataclasses.replace(there, epochs=math.inf))  # stage 2 follows

    if resume is None or not (resume / REFIT_STATE).exists():
        for result in train(config, dataset, device=device, resume=resume, progress=goes_on):
            if result.finished:
                result.save_checkpoint(chosen)
            yield Epoch(
                epoch=result.epoch,
                metrics=result.metrics,
                best_epoch=result.best_epoch,
                best_metrics=result.best_metrics,
                finished=False,  # stage 2 follows, and needs the memory of this stage's model
                _save=partial(_copy_all, chosen) if result.finished else result.save_checkpoint,
            )
    if resume is not None and not chosen.exists():  # stage 1 had ended
        _copy(resume, chosen, {BEST: BEST, STATE: STATE})


def _refit(
    config: Config,
    dataset: Dataset,
    device: str,
    resume: Path | None,
    progress: Callable[[Progress], None] | None,
    chosen: Path,
    kept: Path | None,
) -> Iterator[Epoch]:
    """Stage 2; the model of each epoch is added to the folder `kept`, if there is one."""
    state = read_checkpoint_state(chosen)
    epochs = state.best_epoch + (config.training.patience if kept is not None else 0)
    before = None
    if resume is not None and (resume / REFIT_STATE).exists():
        before = chosen.with_name("before")
        there = {name: name for name in _TO_RESUME if (resume / name).exists()}
        _copy(resume, before, {REFIT: BEST, REFIT_STATE: STATE, **there})
        if kept is not None:
            _copy(resume, kept, {path.name: path.name for path in resume.glob(EPOCHS)})
    select_by = config.training.select_by

    def counted_on(there: Progress) -> None:
        if progress is not None:
            epoch, most = state.epoch + there.epoch, state.epoch + epochs
            progress(dataclasses.replace(there, epoch=epoch, epochs=most))

    for result in train(
        config.replace({"training.epochs": epochs}),
        dataset,
        part="development",
        device=device,
        resume=before,
        progress=counted_on,
    ):
        if kept is not None:
            _keep(result, kept)
        yield Epoch(
            epoch=state.epoch + result.epoch,
            metrics={
                **{f"refit/{name}": value for name, value in result.metrics.items()},
                select_by: state.best_metrics[select_by],
            },
            best_epoch=state.best_epoch,
            best_metrics=state.best_metrics,
            finished=result.finished,
            _save=_saver(result, chosen, kept),
        )


def _saver(result: EpochResult, chosen: Path, kept: Path | None) -> Callable[[Path], None]:
    """What writes a checkpoint of stage 2."""

    def save(folder: Path) -> None:
        result.save_checkpoint(folder)
        (folder / BEST).rename(folder / REFIT)
        (folder / STATE).rename(folder / REFIT_STATE)
        _copy(chosen, folder, {BEST: BEST, STATE: STATE})
        if kept is not None:
            _copy(kept, folder, {path.name: path.name for path in kept.glob(EPOCHS)})

    return save


def _keep(result: EpochResult, folder: Path) -> None:
    """Write the weights of an epoch's model."""
    folder.mkdir(exist_ok=True)
    weights = {name: one.detach().contiguous() for name, one in result.model.state_dict().items()}
    path = folder / EPOCHS.replace("*", f"{result.epoch:05d}")
    path.unlink(missing_ok=True)  # it may be a link to a checkpoint's
    with shared_as_usual(path):
        save_file(weights, path)


def epoch_of(path: Path) -> int:
    """The epoch of the refit whose model a file holds.

    Parameters
    ----------
    path : the file, named after `EPOCHS`.
    """
    return int(path.stem.removeprefix("epoch-"))


def _copy(source: Path, target: Path, names: dict[str, str]) -> None:
    """Copy files of a folder to another one, each under its new name; as links where possible.

    So nothing may write to a file of a checkpoint, only replace it.
    """
    target.mkdir(exist_ok=True)
    for old, new in names.items():
        (target / new).unlink(missing_ok=True)
        try:
            os.link(source / old, target / new)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source / old, target / new)


def _copy_all(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    _copy(source, target, {path.name: path.name for path in source.iterdir()})

"""The training loop: a generator that yields one result per epoch.

Reporting, pruning, checkpoint upload and tracking wrap it from outside.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr.config import Config
from mmsr.data import Dataset, Part, Prefixes
from mmsr.evaluation import evaluate, ranked_apart, ranking_metrics
from mmsr.evaluation.robustness import robust_auc
from mmsr.models.base import Recommender
from mmsr.models.weights import load_weights
from mmsr.training import checkpoint
from mmsr.training.allocation import keep_freed_memory
from mmsr.training.averaging import WeightAverage
from mmsr.training.batching import bucketed_batches, examples_for, validation_for
from mmsr.training.losses.make import make_loss
from mmsr.training.step import choose_device, new_model, new_optimizer, train_step

ROBUST_AUC = "valid/robust_auc"
"""Metric of the best epoch's model, measured after the last epoch where the config asks for it."""


class TrainingDiverged(RuntimeError):
    """The loss or a score became NaN or infinite."""


@dataclass(frozen=True)
class Progress:
    """How far the current epoch has come."""

    epoch: int
    stage: Literal["train", "evaluate"]
    done: int
    """Batches while training, prefixes while evaluating."""
    total: int
    loss: float | None = None
    """Mean training loss of the epoch so far."""
    epochs: float | None = None
    """Most epochs of the run, where they are not those of its config; infinite if unknown."""


@dataclass(frozen=True)
class EpochResult:
    """The result of one epoch; the newest one can save a checkpoint."""

    epoch: int
    """Counted from 1; a resumed run continues the count."""
    metrics: dict[str, float]
    """`train/loss`, `valid/…` (where there is validation) and `time/…_seconds`."""
    best_epoch: int
    best_metrics: dict[str, float]
    finished: bool
    """No epoch follows: `epochs` is reached, or patience has run out."""
    model: Recommender
    """The model after the newest epoch, its weights averaged where the config says so."""
    _run: Run = field(repr=False)

    def save_checkpoint(self, folder: Path) -> None:
        """Write the state after this epoch to `folder`; `train(resume=folder)` continues from it.

        Raises
        ------
        RuntimeError : a later epoch has been run, so this state is gone.
        UserError, OSError : see `write_checkpoint`.
        """
        if self._run.epoch != self.epoch:
            raise RuntimeError(f"epoch {self.epoch} is over: the run is at {self._run.epoch}")
        self._run.save(folder, self)


def train(
    config: Config,
    dataset: Dataset,
    *,
    part: Part = "train",
    device: str = "auto",
    resume: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[EpochResult]:
    """Train one config, yielding after every epoch.

    The same config on the same machine's CPU gives the same numbers to the bit, even if it is
    interrupted and resumed; where the number of cores may differ, set `config.training.threads`.
    On CUDA, sums may be taken in another order, which changes the last digits.

    Parameters
    ----------
    config : what to train.
    dataset : its development data; training cannot reach the test part.
    part : `train` validates after each epoch and stops early; `development` trains on train and
        validation targets together for `config.training.epochs` epochs, without validation.
    device : a torch device name, or `auto`: CUDA where there is a device, else the CPU.
    resume : checkpoint folder to continue from. A finished run yields nothing more.
    progress : called as an epoch begins, every 20 training batches, and after every chunk of ranked
        prefixes.

    Raises
    ------
    UserError : bad graph settings, device or checkpoint; or nothing to train on.
    TrainingDiverged : the loss became NaN or infinite.
    """
    run = Run(config, dataset, part, device)
    if resume is not None and run.restore(resume):
        return
    while True:
        result = run.next_epoch(progress or (lambda _: None))
        yield result
        if result.finished:
            return


class Run:
    """The state of one training run between two epochs."""

    def __init__(self, config: Config, dataset: Dataset, part: Part, device: str) -> None:
        self.config, self.dataset, self.part = config, dataset, part
        self.device = choose_device(device)
        if config.training.threads is not None:
            torch.set_num_threads(config.training.threads)
        keep_freed_memory()
        self.valid = validation_for(dataset, part)
        self.model = new_model(config, dataset, part).to(self.device)
        self.examples = examples_for(self.model, dataset, part, config.graph.max_history)
        self.optimizer = new_optimizer(config, self.model)
        decay = config.training.averaging
        self.average = WeightAverage(self.model, decay) if decay else None
        counts = torch.from_numpy(self.examples.target_counts(dataset.n_items))
        self.loss = make_loss(config.training, counts.to(self.device))
        self.epoch = 0
        self.best_epoch = 0
        self.best_metrics: dict[str, float] = {}
        self.best_weights: dict[str, Tensor] = {}

    def restore(self, folder: Path) -> bool:
        """Continue from the checkpoint in `folder`; True if the run in it is finished."""
        state = checkpoint.check_resumable(folder, self.config, self.dataset, self.part)
        checkpoint.load_model(folder, checkpoint.BEST, self.model)
        self.best_weights = _copy_weights(self.model)
        checkpoint.load_model(folder, checkpoint.MODEL, self.model)
        checkpoint.load_optimizer(folder, self.optimizer)
        if self.average is not None:
            checkpoint.load_into(folder / checkpoint.AVERAGE, self.average.load_state_dict)
        self.epoch, self.best_epoch = state.epoch, state.best_epoch
        self.best_metrics = state.best_metrics
        return state.finished

    @property
    def ranked(self) -> Recommender:
        """The model that is evaluated and saved as the best: the average where there is one."""
        return self.model if self.average is None else self.average.model

    def next_epoch(self, progress: Callable[[Progress], None]) -> EpochResult:
        """Train one epoch, validate, and note whether it is the best; `progress` as in `train`."""
        settings = self.config.training
        self.epoch += 1
        started = time.perf_counter()
        loss = self._train_epoch(progress)
        trained = time.perf_counter()
        metrics = {"train/loss": loss, "time/train_seconds": trained - started}
        if self.valid is not None:
            metrics |= self._validate(self.valid, progress)
            metrics["time/evaluate_seconds"] = time.perf_counter() - trained
        if (
            self.valid is None
            or not self.best_metrics
            or metrics[settings.select_by] > self.best_metrics[settings.select_by]
        ):
            self.best_epoch, self.best_metrics = self.epoch, metrics
            self.best_weights = _copy_weights(self.ranked)
        finished = (
            self.epoch >= settings.epochs or self.epoch - self.best_epoch >= settings.patience
        )
        if finished and settings.robust_auc and self.valid is not None:
            started = time.perf_counter()
            self.best_metrics = {**self.best_metrics, ROBUST_AUC: self._robust_auc(self.valid)}
            metrics = {**metrics, "time/robustness_seconds": time.perf_counter() - started}
        return EpochResult(
            epoch=self.epoch,
            metrics=metrics,
            best_epoch=self.best_epoch,
            best_metrics=self.best_metrics,
            finished=finished,
            model=self.ranked,
            _run=self,
        )

    def _train_epoch(self, progress: Callable[[Progress], None]) -> float:
        settings = self.config.training
        seeds = np.random.SeedSequence([self.config.seed, self.epoch])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        lengths = self.examples.lengths(self.config.graph.max_history)
        batches = bucketed_batches(lengths, settings.batch_size, np.random.default_rng(seeds))
        self.model.train()
        total, seen = torch.zeros((), device=self.device), 0
        progress(Progress(self.epoch, "train", 0, len(batches)))
        for number, rows in enumerate(batches, start=1):
            n_targets = self.examples.n_targets(rows)
            total += self.step(rows) * n_targets
            seen += n_targets
            if number % 20 == 0 or number == len(batches):
                progress(Progress(self.epoch, "train", number, len(batches), total.item() / seen))
        mean = total.item() / seen
        if not math.isfinite(mean):
            raise TrainingDiverged(
                f"the training loss became {mean} in epoch {self.epoch}: "
                "lower training.learning_rate or training.gradient_clip"
            )
        return mean

    def step(self, rows: NDArray[np.integer]) -> Tensor:
        """Make one training step on the examples of indices `rows` `[B]`; returns their loss."""
        given, targets = (
            torch.from_numpy(array).to(self.device, non_blocking=True)
            for array in self.examples.batch(rows, self.config.graph.max_history)
        )
        loss = train_step(self.model, self.optimizer, given, targets, self.config, self.loss)
        if self.average is not None:
            self.average.update(self.model)
        return loss

    def _validate(self, valid: Prefixes, progress: Callable[[Progress], None]) -> dict[str, float]:
        done = 0

        def report(chunk: int) -> None:
            nonlocal done
            done += chunk
            progress(Progress(self.epoch, "evaluate", done, len(valid)))

        try:
            ranks = evaluate(
                self.ranked,
                valid,
                max_history=self.config.graph.max_history,
                seen=self.config.training.seen,
                progress=report,
            )
        except FloatingPointError as error:
            raise TrainingDiverged(f"epoch {self.epoch}: {error}") from None
        metrics = ranking_metrics(ranks) | ranked_apart(ranks, valid, self.dataset)
        return {f"valid/{name}": value for name, value in metrics.items()}

    def _robust_auc(self, valid: Prefixes) -> float:
        """How well the best epoch's model ranks with missing modalities (`robust_auc`)."""
        newest = _copy_weights(self.ranked)
        load_weights(self.ranked, self.best_weights)
        try:
            clean = self.best_metrics[self.config.training.select_by]
            return robust_auc(self.ranked, valid, self.config, clean)
        finally:
            load_weights(self.ranked, newest)

    def save(self, folder: Path, result: EpochResult) -> None:
        """Write a checkpoint to `folder`; `result` is that of the newest epoch."""
        state = checkpoint.CheckpointState(
            epoch=result.epoch,
            metrics=result.metrics,
            best_epoch=result.best_epoch,
            best_metrics=result.best_metrics,
            finished=result.finished,
            part=self.part,
            config=self.config.to_dict(),
            dataset_hash=self.dataset.content_hash,
        )
        checkpoint.write_checkpoint(
            folder,
            state,
            self.model,
            self.optimizer,
            self.best_weights,
            self.average.state_dict() if self.average is not None else None,
        )


def _copy_weights(model: Recommender) -> dict[str, Tensor]:
    """A copy of the parameters; buffers never change, and are shared."""
    constant = {name for name, _ in model.named_buffers()}
    return {
        name: tensor if name in constant else tensor.detach().clone()
        for name, tensor in model.state_dict().items()
    }

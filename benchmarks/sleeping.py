"""Trials of known length: trainers that sleep, and one that trains and looks at the clock.

Workers import this module, so it loads nothing that a trial does not need. Every trial leaves a
line in the folder that `CLOCKS` names: which process ran it, when its first step began, when its
last one ended.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsr.config import Config

CLOCKS, EPOCH_SECONDS = "MMSR_BENCHMARK_CLOCKS", "MMSR_BENCHMARK_EPOCH_SECONDS"
"""Environment of the workers: folder of the trials' times, and how long an epoch sleeps."""
_METRICS = [f"valid/{name}@{k}" for name in ("hr", "mrr", "ndcg") for k in (5, 10, 20)]
_WEIGHTS = bytes(100_000)


@dataclass(frozen=True)
class Epoch:
    """What an epoch of sleeping gives."""

    epoch: int
    metrics: dict[str, float]
    best_epoch: int
    best_metrics: dict[str, float]
    finished: bool

    def save_checkpoint(self, folder: Path) -> None:
        """Write what a small model would."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state.json").write_text(json.dumps({"epoch": self.epoch}))
        for name in ("model", "best"):
            (folder / f"{name}.safetensors").write_bytes(_WEIGHTS)


def sleep(config: Config, dataset: object, **_: object) -> Iterator[Epoch]:
    """Sleep through the epochs of a config, as a study's trainer."""
    epochs = config.training.epochs
    distance = abs(math.log(config.training.learning_rate / 2e-3)) + config.model.dropout
    for epoch in _epochs(epochs):
        value = 0.1 * math.exp(-distance) * (1 - 0.5**epoch)
        metrics = {"train/loss": 1 / epoch, **dict.fromkeys(_METRICS, value)}
        yield Epoch(epoch, metrics, epoch, metrics, epoch == epochs)


def sleep_plainly(settings: dict[str, Any]) -> None:
    """Sleep, report and save alike as a function of plain Ray Tune."""
    import tempfile

    from ray import tune

    for epoch in _epochs(settings["epochs"]):
        with tempfile.TemporaryDirectory() as scratch:
            metrics = dict.fromkeys(_METRICS, 0.1 * settings["model.dropout"])
            Epoch(epoch, {}, epoch, {}, False).save_checkpoint(Path(scratch))
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(scratch))


def train(config: Config, dataset: Any, **options: Any) -> Iterator[Any]:
    """`mmsr.training.train`, with a look at the clock when the model is first called."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    from mmsr import training

    def first_call(module: object, arguments: object) -> None:
        hook.remove()
        _note(begun=time.time())

    hook = register_module_forward_pre_hook(first_call)
    yield from training.train(config, dataset, **options)


def _epochs(epochs: int) -> Iterator[int]:
    seconds = float(os.environ[EPOCH_SECONDS])
    begun = time.time()
    for epoch in range(1, epochs + 1):
        time.sleep(seconds)
        if epoch == epochs:
            _note(begun=begun, ended=time.time())
        yield epoch


def _note(**times: float) -> None:
    from ray import tune

    trial = tune.get_context().get_trial_id()
    line = json.dumps({"trial": trial, "process": os.getpid(), **times})
    (Path(os.environ[CLOCKS]) / f"{trial}.json").write_text(line)

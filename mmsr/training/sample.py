"""What training a config costs on this machine: seconds and memory, from part of an epoch."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.evaluation import evaluate
from mmsr.evaluation.ranking import CHUNK_PREFIXES
from mmsr.training.batching import bucketed_batches
from mmsr.training.loop import Run

_STEPS = 5
"""Fewest batches that are timed."""
_CHUNKS = 4
"""About how many chunks of validation prefixes are ranked."""


class SampleCost(BaseModel):
    """What an epoch costs, and the peak memory of this process."""

    model_config = ConfigDict(frozen=True)

    train_seconds: float
    evaluate_seconds: float
    share: float
    """Share of the epoch's training steps that was run; the rest is extrapolated."""
    memory: int
    """Peak resident memory in bytes, mapped files and libraries included."""
    device_memory: int | None = None
    """Peak memory that PyTorch reserved on the CUDA device, its context included, in bytes."""

    @property
    def epoch_seconds(self) -> float:
        """Seconds of training and ranking."""
        return self.train_seconds + self.evaluate_seconds


def sample_epoch(config: Config, dataset: Dataset, device: str, seconds: float) -> SampleCost:
    """Train part of one epoch and rank part of the validation targets.

    Batches are drawn at random, as an epoch draws them, until `seconds` have passed. The batch and
    the prefixes with the longest histories come first, untimed: they need the most memory.

    Parameters
    ----------
    config : what to train.
    dataset : the data set, whose training and validation parts are used.
    device : as for `mmsr.training.train`.
    seconds : how long to train; a few batches are timed even if they take longer.
    """
    run = Run(config, dataset, "train", device)
    assert run.valid is not None
    lengths = run.examples.lengths(config.graph.max_history)
    batches = bucketed_batches(
        lengths, config.training.batch_size, np.random.default_rng(config.seed)
    )
    run.model.train()
    run.step(max(batches, key=lambda rows: (len(rows), int(lengths[rows].sum()))))
    _wait(run.device)
    steps, started = 0, time.perf_counter()
    while steps < len(batches) and (steps < _STEPS or time.perf_counter() - started < seconds):
        run.step(batches[steps])
        _wait(run.device)
        steps += 1
    train_seconds = (time.perf_counter() - started) / steps * len(batches)
    return SampleCost(
        train_seconds=train_seconds,
        evaluate_seconds=_evaluate(run),
        share=steps / len(batches),
        memory=peak_memory(),
        device_memory=peak_device_memory(run.device.type),
    )


def _evaluate(run: Run) -> float:
    """Seconds of ranking all validation prefixes, extrapolated from evenly spaced ones."""
    valid, config = run.valid, run.config
    assert valid is not None
    order = np.argsort(valid.lengths(config.graph.max_history), kind="stable")
    some = order[:: max(1, len(order) // (_CHUNKS * CHUNK_PREFIXES))]
    elapsed = 0.0
    for rows in (order[-CHUNK_PREFIXES:], some):
        started = time.perf_counter()
        evaluate(
            run.ranked,
            valid.select(rows),
            max_history=config.graph.max_history,
            seen=config.training.seen,
        )
        _wait(run.device)
        elapsed = time.perf_counter() - started
    return elapsed / len(some) * len(order)


def peak_memory() -> int:
    """Peak resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # of this program alone: `ru_maxrss` starts at the parent's memory
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def peak_device_memory(device: str) -> int | None:
    """Peak memory of this process on the CUDA device, in bytes.

    Parameters
    ----------
    device : torch's name of the kind of device, e.g. ``"cuda"``.

    Returns
    -------
    PyTorch's largest reservation and all else that is held there now, such as the CUDA context;
    None where the device is not CUDA.
    """
    if device != "cuda":
        return None
    free, total = torch.cuda.mem_get_info()
    context = total - free - torch.cuda.memory_reserved()  # other processes' memory counts, too
    return torch.cuda.max_memory_reserved() + max(context, 0)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

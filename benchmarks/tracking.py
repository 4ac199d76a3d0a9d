"""What tracking costs: training with it on and off in turns, and the driver's time for an epoch.

- `overhead_share`: epochs of one training are recorded or not, in turns, by everything that a study
  does for an epoch: metrics of the process, journal, shipping to MLflow in SQLite. It all runs in
  the training's own process here, which in a study only the metrics of the process do. Each
  recorded epoch is compared with the mean of its two neighbours, which are not recorded; the figure
  is the mean of the differences over the mean epoch that is not recorded. `overhead_error` is the
  standard error of that mean: on a machine that does something else, look at it first.
- `driver_ms_per_trial_epoch`: processor time of a driver for one epoch of one trial, shipping
  included, with as many metrics as a study logs. `blocked_ms_per_trial_epoch`: how long the driver
  waits for the journal's disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import common

MOST_SHARE, MOST_MS = 0.01, 50.0


def metrics_like(metrics: dict[str, float]) -> dict[str, float]:
    """As many metrics as a study logs of an epoch: its own, the best ones, the objective."""
    best = {f"best/{name}": value for name, value in metrics.items() if name.startswith("valid/")}
    return {"Objective/valid/mrr@20": metrics["valid/mrr@20"], **metrics, **best}


def training_cost(dataset: str, epochs: int, folder: Path) -> dict[str, float]:
    """Train for some epochs, recording every other one.

    Parameters
    ----------
    dataset : name of the data set.
    epochs : number of epochs.
    folder : where the journal is.
    """
    from mmsr.config import Config
    from mmsr.data import Dataset
    from mmsr.tracking import RunState
    from mmsr.tracking.usage import Usage
    from mmsr.training import train

    tracker = make_tracker(folder)
    tracker.open_run("a", "a")
    config = Config(dataset=dataset).replace(
        {"training.epochs": epochs, "training.patience": epochs}
    )
    usage = Usage()
    seconds: list[float] = []
    since = time.perf_counter()
    for result in train(config, Dataset.open(dataset)):
        now = time.perf_counter()
        seconds.append(now - since)
        since = now
        if result.epoch % 2:  # recording and shipping it fall into the next epoch, an even one
            tracker.log("a", result.epoch, metrics_like(result.metrics) | usage.since_last())
    tracker.close_run("a", RunState.FINISHED)
    tracker.close(60)
    return shares(seconds)


def shares(seconds: list[float]) -> dict[str, float]:
    """Overhead of epochs in which one is recorded over their neighbours, in which none is.

    Parameters
    ----------
    seconds : of each epoch, from the first on: those with an even number have the recording of the
        one before. The first two warm up.
    """
    differences, without = [], []
    for place in range(3, len(seconds) - 1, 2):
        neighbours = (seconds[place - 1] + seconds[place + 1]) / 2
        differences.append(seconds[place] - neighbours)
        without.append(neighbours)
    base = statistics.mean(without)
    return {
        "overhead_share": statistics.mean(differences) / base,
        "overhead_error": statistics.stdev(differences) / len(differences) ** 0.5 / base,
        "epoch_seconds": base,
    }


def driver_cost(trials: int, epochs: int, folder: Path) -> dict[str, float]:
    """Record epochs of trials, and nothing else, until all are stored.

    Parameters
    ----------
    trials, epochs : number of trials, and of epochs of each.
    folder : where the journal is.
    """
    from mmsr.tracking import RunState

    names = [f"valid/{metric}@{k}" for metric in ("hr", "mrr", "ndcg") for k in (5, 10, 20)]
    metrics = metrics_like(dict.fromkeys([*names, *(f"time/{n}" for n in range(8))], 0.1))
    tracker = make_tracker(folder)
    keys = [f"trial-{number}" for number in range(trials)]
    for key in keys:
        tracker.open_run(key, key)
    began, blocked = time.process_time(), 0.0
    for epoch in range(1, epochs + 1):
        for key in keys:
            since = time.perf_counter()
            tracker.log(key, epoch, metrics)
            blocked += time.perf_counter() - since
    for key in keys:
        tracker.close_run(key, RunState.FINISHED)
    left = tracker.close(120)
    if left.waiting or left.refused:
        raise SystemExit(f"not everything was stored: {left}")
    n = trials * epochs
    return {
        "driver_ms_per_trial_epoch": 1e3 * (time.process_time() - began) / n,
        "blocked_ms_per_trial_epoch": 1e3 * blocked / n,
    }


def make_tracker(folder: Path) -> Any:
    """A tracker that ships to MLflow in SQLite, whose tables are made before anything is timed."""
    from mmsr.tracking import default_uri
    from mmsr.tracking.journal.shipper import JournalTracker
    from mmsr.tracking.mlflow import MlflowSink
    from mmsr.tracking.mlflow_place import make_store

    folder.mkdir()
    sink = MlflowSink(default_uri(), folder.name, folder.name)
    make_store(default_uri())
    return JournalTracker(folder, sink)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return common.parser(__doc__.splitlines()[0])


def main() -> None:
    arguments = parser().parse_args()
    machine = common.machine(seconds=0.5)
    home = Path(tempfile.mkdtemp(prefix="mmsr-tracking-"))
    try:
        if arguments.quick:
            os.environ["MMSR_HOME"] = str(home)
            from mmsr.cli.data.demo import demo

            demo()
            dataset, epochs = "demo", 9
        else:
            dataset, epochs = common.import_if_missing("toys").name, 21
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{home}/mlflow.db"
        figures = training_cost(dataset, epochs, home / "training")
        trials, each = (5, 20) if arguments.quick else (50, 50)
        figures |= driver_cost(trials, each, home / "driver")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    bars = {
        "overhead_share": common.at_most(MOST_SHARE, figures["overhead_share"]),
        "driver_ms_per_trial_epoch": common.at_most(MOST_MS, figures["driver_ms_per_trial_epoch"]),
    }
    common.write("tracking", figures, bars, arguments.json, machine=machine)


if __name__ == "__main__":
    main()

"""What missing modalities cost on Toys: MMSR with and without modality dropout, other fusions.

All runs have one budget and the same settings but for fusion and modality dropout. All figures are
of validation targets; test is never opened. The settings are a small version of the authors' (30
codes, 3 links, width 64) with scores by items and codes, so an item without a modality lacks it in
histories and in its own score. For each model: the curve of MRR@20 over missing rates for image,
text and both (the same seeded nested masks for all models), and the area under it relative to the
model's own clean score. Curves are of all validation targets of users drawn by seed, the same users
for all models; clean scores and their cost are of all users.

The same command resumes an interrupted run, and several of them at once share the runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import common
import numpy as np
import torch
from filelock import FileLock, Timeout

from mmsr import paths
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.evaluation.robustness import relative_area
from mmsr.evaluation.sweep import Mask, Sweep, run_sweep
from mmsr.study.results.knockouts import some_targets
from mmsr.training import holds_checkpoint, load_best_model, read_checkpoint_state, train
from mmsr.training.batching import bucketed_batches
from mmsr.training.step import new_model, new_optimizer, train_step

METRIC = "mrr@20"
RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
MASK_SEED = 0
SUBSETS = {"image": ("image",), "text": ("text",), "both": ("image", "text")}
DROPOUT = "training.modality_dropout.rate"
MODELS: dict[str, dict[str, Any]] = {
    "mmsr": {},
    "mmsr_dropout": {DROPOUT: 0.3},
    "early": {"model.fusion": "early"},
    "late": {"model.fusion": "late"},
}
SEEDS = {"mmsr": (2023, 2024), "mmsr_dropout": (2023, 2024), "early": (2023,), "late": (2023,)}
"""One seed of each first: a process takes the runs in this order, seed by seed."""
SETTINGS = {
    "graph.n_codes": 30,
    "graph.links_per_item": 3,
    "model.width": 64,
    "model.scoring": "item_and_codes",
    "model.dropout": 0.2,
    "model.input_dropout": 0.1,
    "training.learning_rate": 4e-3,
    "training.batch_size": 256,
    "training.averaging": 0.99,
    "training.epochs": 6,
    "training.threads": 1,
}
TARGETS = 6000
"""Validation targets of the curves, about."""
STEPS = 30
"""Training steps that are timed."""
MOST_CLEAN_COST = 0.02
"""Share of the clean score that modality dropout may cost."""


@dataclass(frozen=True)
class Run:
    """One model, trained with one seed."""

    model: str
    config: Config
    folder: Path

    @property
    def measured(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.curves.json")

    @property
    def finished(self) -> bool:
        return holds_checkpoint(self.folder) and read_checkpoint_state(self.folder).finished


def runs_of(arguments: Any, root: Path) -> list[Run]:
    found = []
    for position in range(max(map(len, SEEDS.values()))):
        for model, seeds in SEEDS.items():
            if position < len(seeds) and (not arguments.quick or position == 0):
                settings = {**SETTINGS, **MODELS[model], "training.epochs": arguments.epochs}
                if arguments.quick:
                    settings |= {"training.epochs": 1, "model.width": 8, "graph.max_history": 3}
                elif model == "mmsr_dropout":
                    settings[DROPOUT] = arguments.dropout
                config = Config(dataset="toys", seed=seeds[position]).replace(settings)
                name = f"{model}-{config.training.modality_dropout.rate:g}-{config.seed}"
                found.append(Run(model, config, root / name))
    return found


def do_all(runs: list[Run], dataset: Dataset) -> None:
    """Train and measure what is left to do; other processes may take some of the runs."""
    while left := [run for run in runs if not run.measured.exists()]:
        for run in left:
            run.folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(f"{run.folder}.lock", blocking=False):
                    if not run.finished:
                        _train(run, dataset)
                    if not run.measured.exists():
                        run.measured.write_text(json.dumps(curves(run, dataset)))
            except Timeout:
                continue
        time.sleep(1)


def _train(run: Run, dataset: Dataset) -> None:
    resume = run.folder if holds_checkpoint(run.folder) else None
    for result in train(run.config, dataset, resume=resume):
        result.save_checkpoint(run.folder)
        print(
            f"{run.folder.name}, epoch {result.epoch}: loss {result.metrics['train/loss']:.4f}, "
            f"{METRIC} {100 * result.metrics[f'valid/{METRIC}']:.3f} %, "
            f"{result.metrics['time/train_seconds']:.0f} s",
            flush=True,
        )


def curves(run: Run, dataset: Dataset) -> dict[str, list[float]]:
    """The metric at each rate, for each subset of modalities."""
    model = load_best_model(run.folder, run.config, dataset)
    sweep = Sweep(tuple(SUBSETS.values()), RATES, (MASK_SEED,), METRIC)
    some = some_targets(dataset.valid(), TARGETS)
    found = run_sweep(sweep, lambda mask: [mask.rank(model, some, run.config)], some.users)
    return {
        name: [point.value for point in curve.points]
        for name, curve in zip(SUBSETS, found.curves, strict=True)
    }


def costs(run: Run, dataset: Dataset) -> tuple[float, float]:
    """Processor seconds of a point on all validation targets, and of a training epoch, by some."""
    model, valid = load_best_model(run.folder, run.config, dataset), dataset.valid()
    started = time.process_time()
    for rate in (0.3, 0.7):
        Mask(SUBSETS["both"], rate, MASK_SEED).rank(model, valid, run.config)
    point = (time.process_time() - started) / 2
    model, examples = new_model(run.config, dataset).train(), dataset.train()
    optimizer, most = new_optimizer(run.config, model), run.config.graph.max_history
    rng = np.random.default_rng(0)
    batches = bucketed_batches(examples.lengths(most), run.config.training.batch_size, rng)
    started = time.process_time()
    for rows in batches[:STEPS]:
        histories, targets = (torch.from_numpy(array) for array in examples.batch(rows, most))
        train_step(model, optimizer, histories, targets, run.config)
    return point, (time.process_time() - started) / STEPS * len(batches)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.splitlines()[0])
    result.add_argument("--epochs", type=int, default=6)
    result.add_argument("--dropout", type=float, default=0.3, help="rate of modality dropout")
    return result


def main() -> None:
    arguments = parser().parse_args()
    dataset = common.import_if_missing("toys")
    kind = "quick" if arguments.quick else f"full-{arguments.epochs}"
    root = paths.home() / "benchmarks" / f"robustness-{kind}"
    runs = runs_of(arguments, root)
    do_all(runs, dataset)
    machine = common.machine(seconds=0.5)
    figures: dict[str, float] = {"epochs": float(runs[0].config.training.epochs)}
    figures["dropout_rate"] = runs[1].config.training.modality_dropout.rate
    for run in runs:
        found = json.loads(run.measured.read_text())
        key = f"{run.model}_seed{run.config.seed}"
        best = read_checkpoint_state(run.folder).best_metrics
        figures[f"{key}_clean"] = best[f"valid/{METRIC}"]
        figures[f"{key}_clean_of_drawn_users"] = found["both"][0]
        for subset, values in found.items():
            for rate, value in zip(RATES[1:], values[1:], strict=True):
                figures[f"{key}_{subset}_{rate:g}"] = value
            figures[f"{key}_{subset}_area"] = relative_area(RATES, values)
    for model in MODELS:
        for what in ("clean", *(f"{subset}_area" for subset in SUBSETS)):
            values = [
                v for k, v in figures.items() if k.startswith(f"{model}_seed") and k.endswith(what)
            ]
            figures[f"{model}_{what}_mean"] = statistics.fmean(values)
    figures["clean_cost"] = 1 - figures["mmsr_dropout_clean_mean"] / figures["mmsr_clean_mean"]
    bars = {"clean_cost": common.at_most(MOST_CLEAN_COST, figures["clean_cost"])}
    for subset in SUBSETS:
        name = f"mmsr_dropout_{subset}_area_mean"
        bars[name] = common.at_least(figures[f"mmsr_{subset}_area_mean"], figures[name])
    figures["point_cpu_seconds"], figures["epoch_cpu_seconds"] = costs(runs[0], dataset)
    figures["points_per_epoch"] = figures["epoch_cpu_seconds"] / figures["point_cpu_seconds"]
    bars["points_per_epoch"] = common.at_least(3, figures["points_per_epoch"])
    common.write("robustness", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()

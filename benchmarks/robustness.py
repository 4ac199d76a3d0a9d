"""What missing modalities cost on Toys: MMSR with and without modality dropout, other fusions.

All runs have one budget and the same settings but for fusion and modality dropout. All figures are
of validation targets; test is never opened. The settings are a small version of the authors' (30
codes, 3 links, width 64) with scores by items and codes, so an item without a modality lacks it in
histories and in its own score. For each model: the curve of MRR@20 over missing rates for image,
text and both (the same seeded nested masks for all models), and the area under it relative to the
model's own clean score.

Resumable: the same command goes on where it stopped, and several of them at once share the runs.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import common
from filelock import FileLock, Timeout

from mmsr import paths
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.evaluation import ranking_metrics
from mmsr.evaluation.robustness import rank_without, relative_area
from mmsr.training import holds_checkpoint, load_best_model, read_checkpoint_state, train

METRIC = "mrr@20"
RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
MASK_SEEDS = (0, 1)
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
MOST_CLEAN_COST = 0.02
"""Share of the clean score that modality dropout may cost."""


@dataclass(frozen=True)
class Run:
    """One model, trained with one seed."""

    model: str
    config: Config
    folder: Path

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


def train_all(runs: list[Run], dataset: Dataset) -> None:
    """Train what is not trained yet; other processes may take some of the runs."""
    while left := [run for run in runs if not run.finished]:
        for run in left:
            run.folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(f"{run.folder}.lock", blocking=False):
                    _train(run, dataset)
            except Timeout:
                continue
        if all(run.finished for run in runs):
            return
        time.sleep(5)


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


def curves(run: Run, dataset: Dataset, mask_seeds: tuple[int, ...]) -> dict[str, list[float]]:
    """Mean over mask seeds of the metric at each rate, for each subset of modalities."""
    model = load_best_model(run.folder, run.config, dataset)
    valid = dataset.valid()

    def score(subset: tuple[str, ...], rate: float, seed: int) -> float:
        return ranking_metrics(rank_without(model, valid, run.config, subset, rate, seed))[METRIC]

    clean = score((), 0.0, 0)
    found = {}
    for name, subset in SUBSETS.items():
        found[name] = [clean]
        for rate in RATES[1:]:
            seeds = mask_seeds[:1] if rate == 1 else mask_seeds  # nothing is left to choose
            found[name].append(statistics.fmean(score(subset, rate, seed) for seed in seeds))
    return found


def main() -> None:
    parser = common.parser(__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--dropout", type=float, default=0.3, help="rate of modality dropout")
    arguments = parser.parse_args()
    dataset = common.import_if_missing("toys")
    kind = "quick" if arguments.quick else f"full-{arguments.epochs}"
    root = paths.home() / "benchmarks" / f"robustness-{kind}"
    runs = runs_of(arguments, root)
    train_all(runs, dataset)
    machine = common.machine(seconds=0.5)
    figures: dict[str, float] = {"epochs": float(runs[0].config.training.epochs)}
    figures["dropout_rate"] = runs[1].config.training.modality_dropout.rate
    epoch_seconds, sweep_seconds = [], []
    for run in runs:
        started = time.perf_counter()
        found = curves(run, dataset, MASK_SEEDS[: 1 if arguments.quick else None])
        sweep_seconds.append(time.perf_counter() - started)
        epoch_seconds.append(read_checkpoint_state(run.folder).metrics["time/train_seconds"])
        key = f"{run.model}_seed{run.config.seed}"
        figures[f"{key}_clean"] = found["both"][0]
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
    common.write("robustness", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()

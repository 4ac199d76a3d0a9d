"""What becomes of dual attention's heterogeneous scores on the demo shop: LeakyReLU, √width, Q K V.

The gated layer, and heterogeneous attention alone (`he`), with every combination of the slope of
LeakyReLU (1 is without), division by √width, and one or three projections; validation MRR@20 of the
best epoch. Each run that is done is kept, and the same command goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import common

from mmsr import paths
from mmsr.config import Config
from mmsr.data import Dataset, DemoShop, ImportSettings, prepare, write_tables
from mmsr.training import train

ORDERS, SLOPES, BOTH = ("gated", "he"), (0.1, 1.0), (False, True)
SEEDS = (1, 2, 3)
SETTINGS = {
    "graph.n_codes": 20,
    "graph.links_per_item": 1,
    "model.width": 64,
    "model.input_dropout": 0.3,
    "model.scoring": "item_and_codes",
    "training.learning_rate": 0.005,
    "training.label_smoothing": 0.1,
    "training.averaging": 0.99,
    "training.epochs": 40,
    "training.patience": 5,
    "training.threads": 1,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return common.parser(__doc__.splitlines()[0])


def score(dataset: Dataset, settings: dict[str, object], seed: int) -> float:
    """Best validation MRR@20 of one run."""
    config = Config(dataset=dataset.name, seed=seed).replace(settings)
    *_, last = train(config, dataset)
    return last.best_metrics["valid/mrr@20"]


def main() -> None:
    arguments = parser().parse_args()
    quick = {"training.epochs": 1} if arguments.quick else {}
    machine = common.machine(seconds=0.5)
    root = paths.home() / "benchmarks" / "attention_scores"
    root.mkdir(parents=True, exist_ok=True)
    sources = write_tables(DemoShop(), root / "tables")
    dataset = prepare("attention-scores", sources, ImportSettings(core=2)).dataset
    store = root / f"{common.COMMIT}{'-quick' if quick else ''}.json"
    done: dict[str, float] = json.loads(store.read_text()) if store.exists() else {}
    figures: dict[str, float] = {}
    for order, slope, scaled, shared in itertools.product(ORDERS, SLOPES, BOTH, BOTH):
        name = f"{order}_slope{slope:g}_{'scaled' if scaled else 'plain'}_{1 if shared else 3}qkv"
        choice = {
            "model.aggregator.order": order,
            "model.aggregator.heterogeneous_slope": slope,
            "model.aggregator.scaled": scaled,
            "model.aggregator.share_qkv": shared,
        }
        for seed in SEEDS[:1] if quick else SEEDS:
            if f"{name}_{seed}" not in done:
                done[f"{name}_{seed}"] = score(dataset, {**SETTINGS, **quick, **choice}, seed)
                store.write_text(json.dumps(done))
        found = [value for key, value in done.items() if key.rpartition("_")[0] == name]
        figures[f"{name}_mean"] = statistics.mean(found)
        if len(found) > 1:
            figures[f"{name}_std"] = statistics.stdev(found)
    common.write(
        "attention_scores",
        figures,
        {},
        arguments.json,
        machine,
        seeds=list(SEEDS),
        runs=done,
        settings=SETTINGS,
    )


if __name__ == "__main__":
    main()

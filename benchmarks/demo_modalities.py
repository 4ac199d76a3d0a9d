"""What the modalities are worth on the demo shop: the same model with some of them left out.

Several shops with a noise modality, several seeds each; validation MRR@20 of the best epoch. The
shop's and the model's settings were chosen on the shop of seed 7, one model seed; nothing else here
was selected: every shop and every seed that is run is in the figures. The bars stand on the other
shops: leaving out a modality that carries signal costs at least three times what leaving out the
noise costs, and more than the seeds spread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import common

from mmsr.config import Config
from mmsr.data import Dataset, DemoShop, ImportSettings, prepare, write_tables
from mmsr.training import train

TUNED_ON, SHOPS = 7, (101, 102, 103)
ALL = ("image", "noise", "text")
KEPT = (ALL, ("image", "text"), ("noise", "text"), ("image", "noise"), ())
SETTINGS = {
    "model.width": 64,
    "model.dropout": 0.2,
    "model.input_dropout": 0.1,
    "model.scoring": "item_and_codes",
    "model.aggregator.scaled": True,
    "training.learning_rate": 0.005,
    "training.epochs": 12,
    "training.threads": 1,
}


def score(dataset: Dataset, kept: tuple[str, ...], seed: int) -> float:
    """Best validation MRR@20 of one run."""
    config = Config(dataset=dataset.name, seed=seed).replace({**SETTINGS, "graph.modalities": kept})
    *_, last = train(config, dataset)
    return last.best_metrics["valid/mrr@20"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return common.parser(__doc__.splitlines()[0])


def main() -> None:
    arguments = parser().parse_args()
    shops, seeds = (SHOPS[:1], 1) if arguments.quick else ((TUNED_ON, *SHOPS), 3)
    machine = common.machine(seconds=0.5)
    figures: dict[str, float] = {"seeds": float(seeds)}
    costs: dict[str, list[float]] = {"image": [], "text": [], "noise": []}
    spreads = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMSR_HOME"] = folder
        for shop in shops:
            truth = DemoShop(seed=shop, noise=True)
            sources = write_tables(truth, Path(folder) / f"tables-{shop}")
            dataset = prepare(f"demo-{shop}", sources, ImportSettings(core=2)).dataset
            scores = {
                kept: [score(dataset, kept, seed) for seed in range(seeds)]
                for kept in (KEPT[:3] if arguments.quick else KEPT)
            }
            for kept, found in scores.items():
                key = f"shop{shop}_{'_'.join(kept) or 'none'}"
                figures[f"{key}_mean"] = statistics.mean(found)
                figures[f"{key}_std"] = statistics.stdev(found) if seeds > 1 else 0.0
            if shop != TUNED_ON:
                spreads.append(figures[f"shop{shop}_{'_'.join(ALL)}_std"])
                for modality, cost in costs.items():
                    left = tuple(m for m in ALL if m != modality)
                    if left in scores:
                        cost += [a - b for a, b in zip(scores[ALL], scores[left], strict=True)]
    mean_cost = {modality: statistics.mean(cost) for modality, cost in costs.items() if cost}
    figures |= {f"cost_without_{modality}": cost for modality, cost in mean_cost.items()}
    least = min(cost for modality, cost in mean_cost.items() if modality != "noise")
    bars = {
        "least_cost_over_noise_cost": common.at_least(3 * mean_cost["noise"], least),
        "least_cost_over_spread": common.at_least(max(spreads), least),
    }
    common.write("demo_modalities", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()

"""What a trained model loses on the demo shop when a modality is taken away, informative or not.

The shop's truth is known: image and text draw what users buy, `noise` has nothing to do with it.
On the shops of `demo_modalities` that nothing was chosen on, a model is trained with all three and
ranks the validation targets with one of them missing from every item, without new training.
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
from demo_modalities import ALL, SETTINGS, SHOPS

from mmsr.config import Config
from mmsr.data import Dataset, DemoShop, ImportSettings, prepare, write_tables
from mmsr.evaluation import ranking_metrics
from mmsr.evaluation.robustness import rank_without
from mmsr.training import load_best_model, train

METRIC = "mrr@20"
LEAST_RATIO = 3.0


def scores(dataset: Dataset, seed: int, folder: Path, quick: bool) -> dict[str, float]:
    """The metric of one trained model: clean, and with each modality missing."""
    config = Config(dataset=dataset.name, seed=seed).replace(SETTINGS)
    if quick:
        config = config.replace({"training.epochs": 3, "model.width": 32})
    for result in train(config, dataset):
        result.save_checkpoint(folder)
    model, valid = load_best_model(folder, config, dataset), dataset.valid()

    def score(lost: tuple[str, ...]) -> float:
        return ranking_metrics(rank_without(model, valid, config, lost, 1.0, 0))[METRIC]

    return {"clean": score(()), **{modality: score((modality,)) for modality in ALL}}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return common.parser(__doc__.splitlines()[0])


def main() -> None:
    arguments = parser().parse_args()
    shops, seeds = (SHOPS[:1], 1) if arguments.quick else (SHOPS, 2)
    machine = common.machine(seconds=0.5)
    figures: dict[str, float] = {"seeds": float(seeds)}
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMSR_HOME"] = folder
        for shop in shops:
            sources = write_tables(DemoShop(seed=shop, noise=True), Path(folder) / f"tables-{shop}")
            dataset = prepare(f"demo-{shop}", sources, ImportSettings(core=2)).dataset
            for seed in range(seeds):
                got = scores(dataset, seed, Path(folder) / f"{shop}-{seed}", arguments.quick)
                found.append(got)
                figures |= {f"shop{shop}_seed{seed}_{what}": value for what, value in got.items()}
    for modality in ALL:
        costs = [got["clean"] - got[modality] for got in found]
        figures[f"cost_without_{modality}"] = statistics.mean(costs)
    least = min(figures["cost_without_image"], figures["cost_without_text"])
    bars = {
        "least_cost": common.at_least(LEAST_RATIO * max(figures["cost_without_noise"], 0), least)
    }
    common.write("robustness_demo", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()

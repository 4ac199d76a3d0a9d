"""What the modalities are worth on the demo shop: the same model with some of them left out.

Several shops, several seeds each; validation MRR@20. Nothing here is selected: every shop and every
seed that is run is in the figures.
"""

from __future__ import annotations

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

SHOPS = (7, 101, 102)
KEPT = (("image", "text"), ("text",), ("image",), ())
SETTINGS = {
    "model.scoring": "item_and_codes",
    "model.aggregator.share_qkv": False,
    "model.width": 64,
    "model.dropout": 0.2,
    "model.input_dropout": 0.1,
    "training.learning_rate": 0.005,
    "training.epochs": 8,
    "training.threads": 1,
}


def score(dataset: Dataset, kept: tuple[str, ...], seed: int) -> float:
    """Best validation MRR@20 of one run."""
    config = Config(dataset=dataset.name, seed=seed).replace({**SETTINGS, "graph.modalities": kept})
    *_, last = train(config, dataset)
    return last.best_metrics["valid/mrr@20"]


def main() -> None:
    arguments = common.parser(__doc__.splitlines()[0]).parse_args()
    shops, seeds = (SHOPS[:1], 1) if arguments.quick else (SHOPS, 5)
    machine = common.machine(seconds=0.5)
    figures: dict[str, float] = {"seeds": float(seeds)}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMSR_HOME"] = folder
        for shop in shops:
            sources = write_tables(DemoShop(seed=shop), Path(folder) / f"tables-{shop}")
            dataset = prepare(f"demo-{shop}", sources, ImportSettings(core=2)).dataset
            for kept in KEPT:
                scores = [score(dataset, kept, seed) for seed in range(seeds)]
                key = f"shop{shop}_{'_'.join(kept) or 'none'}"
                figures[f"{key}_mean"] = statistics.mean(scores)
                figures[f"{key}_std"] = statistics.stdev(scores) if seeds > 1 else 0.0
    common.write("demo_modalities", figures, {}, arguments.json, machine)


if __name__ == "__main__":
    main()

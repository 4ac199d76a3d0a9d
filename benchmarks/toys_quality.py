"""MMSR on Toys with the authors' graph (30 codes, 3 links), beside the paper's table 2.

The other settings are `mmsr.study.search.defaults.OWN_SETTINGS`: the authors', and four things that
the paper does not have: dropout on the input, scores by item and codes, label smoothing, and
averaged weights. They were chosen on validation targets at one seed (2023). The step runs in
bfloat16 where the processor has it.

Two runs of one config and seed, both resumed by the same command if interrupted:

1. on the training part, with validation and early stopping: it chooses the number of epochs;
2. on development data (train + validation), ranking the test targets after every epoch.

From the second come two rows. `validation_selected` is the honest one: test metrics at the epoch
that validation chose. `test_selected` takes the best epoch on test, per metric, because that is
how the paper's figures were chosen; it is printed beside them for that reason alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import common
from rich.console import Console
from rich.table import Table

from mmsr import paths
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.data.held_out import open_test
from mmsr.evaluation import evaluate, ranking_metrics
from mmsr.study.search.defaults import OWN_SETTINGS
from mmsr.training import bf16_is_native, read_checkpoint_state, train

SHOWN = ("hr@5", "mrr@5", "hr@20", "mrr@20")
PAPER = common.ROOT.parent / "shared" / "paper" / "table2_overall.csv"
AFTER_CHOSEN = 4
"""Epochs of the second run beyond the chosen one, so that its curve shows the peak."""


def config_of(arguments: Any) -> Config:
    config = Config(dataset="toys", seed=arguments.seed).replace(
        {**OWN_SETTINGS, "training.bf16": bf16_is_native("cpu")}
    )
    if arguments.quick:
        config = config.replace({"training.epochs": 1, "model.width": 16, "graph.max_history": 5})
    return config


def choose_epochs(config: Config, dataset: Dataset, folder: Path) -> tuple[int, dict[str, float]]:
    """Best epoch on validation and its metrics."""
    resume = folder if (folder / "state.json").exists() else None
    for result in train(config, dataset, resume=resume):
        result.save_checkpoint(folder)
        _say("choosing", result.epoch, result.metrics, "valid/")
    state = read_checkpoint_state(folder)
    return state.best_epoch, state.best_metrics


def test_curve(config: Config, dataset: Dataset, folder: Path) -> list[dict[str, float]]:
    """Test metrics after every epoch of a run on development data."""
    log = folder.with_suffix(".jsonl")
    resume = folder if (folder / "state.json").exists() else None
    done = read_checkpoint_state(folder).epoch if resume else 0
    curve = _read_curve(log)[:done]
    test = open_test(
        dataset, who="benchmarks/toys_quality.py", why=f"test metrics by epoch, seed {config.seed}"
    )
    for result in train(config, dataset, part="development", resume=resume):
        ranks = evaluate(result.model, test, max_history=config.graph.max_history)
        curve.append(ranking_metrics(ranks))
        log.write_text("".join(json.dumps(row) + "\n" for row in curve))
        result.save_checkpoint(folder)
        _say("testing", result.epoch, curve[-1], "")
    return curve


def _read_curve(log: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def _say(stage: str, epoch: int, metrics: dict[str, float], prefix: str) -> None:
    shown = "  ".join(f"{name} {100 * metrics[prefix + name]:.3f}" for name in SHOWN)
    print(f"{stage}, epoch {epoch}: {shown} %", flush=True)


def published() -> dict[str, float]:
    """The paper's row, in [0, 1]; nothing where its tables are not beside the project."""
    if not PAPER.exists():
        return {}
    with PAPER.open() as file:
        return {
            row["metric"].lower(): float(row["percent"]) / 100
            for row in csv.DictReader(file)
            if (row["dataset"], row["model"]) == ("Toys", "MMSR")
        }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.splitlines()[0])
    result.add_argument("--seed", type=int, default=2023)
    return result


def main() -> None:
    arguments = parser().parse_args()
    config = config_of(arguments)
    dataset = common.import_if_missing("toys")
    machine = common.machine(seconds=0.5)
    kind = "quick" if arguments.quick else "full"
    root = paths.home() / "benchmarks" / f"toys_quality-{kind}-{config.seed}"
    chosen, best_valid = choose_epochs(config, dataset, root / "choose")
    epochs = chosen if arguments.quick else chosen + AFTER_CHOSEN
    curve = test_curve(config.replace({"training.epochs": epochs}), dataset, root / "test")
    honest = curve[chosen - 1]
    test_selected = {name: max(row[name] for row in curve) for name in honest}
    paper = published()

    table = Table("", *SHOWN, title=f"MMSR on Toys, test, %; epoch chosen on validation: {chosen}")
    for label, row in (
        ("validation-selected", honest),
        ("test-selected, per metric", test_selected),
        ("paper, test-selected", paper),
    ):
        table.add_row(label, *(f"{100 * row[name]:.2f}" if name in row else "-" for name in SHOWN))
    Console().print(table)
    figures = {"chosen_epoch": float(chosen), "seed": float(config.seed)}
    figures |= {f"best_{name}": value for name, value in best_valid.items() if "valid/" in name}
    figures |= {f"validation_selected_test_{name}": value for name, value in honest.items()}
    figures |= {f"test_selected_{name}": value for name, value in test_selected.items()}
    figures |= {f"paper_{name}": value for name, value in paper.items()}
    bars = {
        f"test_selected_{name}": common.at_least(value, test_selected[name])
        for name, value in paper.items()
    }
    common.write("toys_quality", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()

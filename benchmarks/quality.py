"""Ranking quality of a model with its own settings, on Toys or Beauty, beside published figures.

For each seed, resumed by the same command if interrupted:

1. training on the training part, with early stopping: validation chooses the number of epochs;
2. training on train + validation for that number of epochs, with the same seed.

When all seeds are through, their models rank test: one opening, on the data set's record. Test is
opened for committed settings only. `--train-only` ends before it, so that seeds can be trained in
several processes, or on several days, and ranked by one command. `--quick` trains tiny models and
ranks validation instead.

The settings are the last of the model's known ones, chosen on validation targets of Toys. With
`ratio`, they stand beside the paper's table 2, whose figures are the best epoch on test, by each
metric for itself; ours never are. With `leave-one-out`, validation ranks without the items that a
user has seen, test with and without them, and the figures stand beside those that
blondered/transformer_benchmark has for SASRec with sampled softmax.
The step runs in bfloat16 where the processor has it.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import common
import numpy as np
from rich.console import Console
from rich.table import Table

from mmsr import paths
from mmsr.config import Config
from mmsr.config.models import MODELS, settings_class
from mmsr.data import Dataset, Prefixes
from mmsr.data.held_out import open_test
from mmsr.evaluation import evaluate, ranking_metrics
from mmsr.models.base import Recommender
from mmsr.training import (
    bf16_is_native,
    holds_checkpoint,
    load_best_model,
    read_checkpoint_state,
    train,
)

SHOWN = {
    "ratio": ("hr@5", "mrr@5", "hr@20", "mrr@20"),
    "leave-one-out": ("hr@5", "ndcg@5", "hr@10", "ndcg@10"),
}
"""Metrics that are published, by protocol."""
LEAVE_ONE_OUT = {
    "toys": {"hr@10": 0.0970, "ndcg@10": 0.0580},
    "beauty": {"hr@10": 0.0921, "ndcg@10": 0.0531},
}
PAPER = common.ROOT.parent / "shared" / "paper" / "table2_overall.csv"
SEEDS = [2023, 2024, 2025]
BEFORE = {"hr@5": 0.0711, "mrr@5": 0.0465, "hr@20": 0.1242, "mrr@20": 0.0516}
"""Toys, mean of these seeds at commits fc1c3ada59d6 (2023) and 3e6aca14e2de: Q, K and V shared, no
LeakyReLU in heterogeneous scores, and a test part that had been opened before."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.splitlines()[0])
    result.add_argument("--dataset", choices=("toys", "beauty"), default="toys")
    result.add_argument("--model", choices=tuple(MODELS), default="mmsr")
    result.add_argument("--protocol", choices=tuple(SHOWN), default="ratio")
    result.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    result.add_argument("--train-only", action="store_true", help="train, and leave test closed")
    return result


def settings_of(model: str, protocol: str) -> dict[str, Any]:
    settings = {"model.name": model, **settings_class(model).known_settings()[-1]}
    if protocol == "leave-one-out":
        settings |= {"training.seen": "masked", "training.select_by": "valid/ndcg@10"}
    return settings


def config_of(dataset: str, seed: int, model: str, protocol: str, quick: bool) -> Config:
    settings = {**settings_of(model, protocol), "training.bf16": bf16_is_native("cpu")}
    if quick:
        settings |= {"training.epochs": 1, "model.width": 16, "graph.max_history": 5}
    return Config(dataset=dataset, seed=seed).replace(settings)


def choose_epochs(config: Config, dataset: Dataset, folder: Path) -> tuple[int, dict[str, float]]:
    """Best epoch on validation and its metrics."""
    resume = folder if holds_checkpoint(folder) else None
    for result in train(config, dataset, resume=resume):
        _note_commit(folder)
        result.save_checkpoint(folder)
        chosen = 100 * result.metrics[config.training.select_by]
        print(
            f"seed {config.seed}, epoch {result.epoch}: {config.training.select_by} {chosen:.3f} %"
        )
    state = read_checkpoint_state(folder)
    found = {k: v for k, v in state.best_metrics.items() if k.startswith("valid/")}
    return state.best_epoch, found


def refit(config: Config, dataset: Dataset, folder: Path) -> None:
    """Train on train + validation for all epochs of the config."""
    resume = folder if holds_checkpoint(folder) else None
    for result in train(config, dataset, part="development", resume=resume):
        _note_commit(folder)
        result.save_checkpoint(folder)
        print(f"seed {config.seed}, refit, epoch {result.epoch} of {config.training.epochs}")


def _note_commit(folder: Path) -> None:
    """Note the commit that trains, beside the checkpoint; a new training begins a new list."""
    log = folder.with_name(f"{folder.name}.commits")
    before = log.read_text() if holds_checkpoint(folder) and log.exists() else ""
    if common.COMMIT not in before.split():
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"{before}{common.COMMIT}\n")


def trained_by(
    root: Path, seeds: list[int], stages: tuple[str, ...] = ("choose", "refit")
) -> list[str]:
    """The commits that trained these seeds' models."""
    found = (root / f"{seed}-{stage}.commits" for seed in seeds for stage in stages)
    return sorted({commit for file in found for commit in file.read_text().split()})


def published(dataset: str, protocol: str) -> dict[str, float]:
    """Published figures, in [0, 1]; the paper's only where its tables are beside the project."""
    if protocol == "leave-one-out":
        return LEAVE_ONE_OUT[dataset]
    if not PAPER.exists():
        return {}
    with PAPER.open() as file:
        return {
            row["metric"].lower(): float(row["percent"]) / 100
            for row in csv.DictReader(file)
            if (row["dataset"].lower(), row["model"]) == (dataset, "MMSR")
        }


def _open(dataset: Dataset, model: str, seeds: list[int], commits: list[str]) -> Prefixes:
    for commit in (common.COMMIT, *commits):
        if commit.endswith("+") or commit == "unknown":
            sys.exit(
                f"test is opened for committed settings only, not for commit {commit}: commit the "
                "changes, and train anew what was trained with them"
            )
    why = f"quality of {model}, known settings, seeds {seeds}, trained by {', '.join(commits)}"
    return open_test(dataset, who=common.command(), why=why)


def _stored(store: Path, models: dict[str, Any]) -> dict[str, dict[str, float]] | None:
    """The figures of an earlier opening for these models; None if there was none."""
    if not store.exists():
        return None
    found = json.loads(store.read_text())
    if found["of"] != models:
        sys.exit(f"{store} has the figures of other models: move it away to open test anew")
    print(f"test is not opened again: its figures are in {store}")
    figures: dict[str, dict[str, float]] = found["figures"]
    return figures


def _tested(model: Recommender, targets: Prefixes, config: Config) -> dict[str, float]:
    """Metrics as the config ranks; where it masks seen items, also with them (`kept/…`)."""
    seen, longest = config.training.seen, config.graph.max_history
    metrics = ranking_metrics(evaluate(model, targets, max_history=longest, seen=seen))
    if seen != "kept":
        kept = ranking_metrics(evaluate(model, targets, max_history=longest))
        metrics |= {f"kept/{metric}": value for metric, value in kept.items()}
    return metrics


def main() -> None:
    arguments = parser().parse_args()
    model_name, protocol, quick = arguments.model, arguments.protocol, arguments.quick
    dataset = common.import_if_missing(arguments.dataset, protocol)
    machine = common.machine(seconds=0.5)
    root = paths.home() / "benchmarks" / f"quality-{'quick' if quick else 'full'}"
    root /= dataset.name if model_name == "mmsr" else f"{dataset.name}-{model_name}"
    runs: dict[int, tuple[Config, dict[str, float]]] = {}
    for seed in arguments.seeds:
        config = config_of(dataset.name, seed, model_name, protocol, quick)
        epochs, valid = choose_epochs(config, dataset, root / f"{seed}-choose")
        config = config.replace({"training.epochs": epochs})
        refit(config, dataset, root / f"{seed}-refit")
        runs[seed] = config, valid
    if arguments.train_only:
        return
    commits = trained_by(root, arguments.seeds)
    part = "valid" if quick else "test"
    store = root / f"{part}-{'-'.join(map(str, arguments.seeds))}.json"
    models = {
        "trained_by": commits,
        "dataset_hash": dataset.content_hash,
        "configs": {str(seed): config.to_dict() for seed, (config, _) in runs.items()},
    }
    stored = None if quick else _stored(store, models)
    if stored is None:
        targets = dataset.valid() if quick else _open(dataset, model_name, arguments.seeds, commits)
        stored = {}
        for seed, (config, _) in runs.items():
            model = load_best_model(root / f"{seed}-refit", config, dataset)
            stored[str(seed)] = _tested(model, targets, config)
        store.write_text(json.dumps({"of": models, "figures": stored}))
    figures: dict[str, float] = {}
    found: dict[str, list[float]] = {}
    for seed, (config, valid) in runs.items():
        tested = stored[str(seed)]
        figures[f"epochs_{seed}"] = float(config.training.epochs)
        figures |= {f"chosen_{metric}_{seed}": value for metric, value in valid.items()}
        figures |= {f"{part}/{metric}_{seed}": value for metric, value in tested.items()}
        for metric, value in tested.items():
            found.setdefault(metric, []).append(value)
    means = {metric: statistics.fmean(values) for metric, values in found.items()}
    figures |= {f"{part}/{metric}_mean": value for metric, value in means.items()}
    if len(runs) > 1:
        figures |= {f"{part}/{m}_std": float(np.std(v, ddof=1)) for m, v in found.items()}
    known = published(arguments.dataset, protocol)
    figures |= {
        f"{'paper' if protocol == 'ratio' else 'published'}/{metric}": value
        for metric, value in known.items()
    }

    shown = SHOWN[protocol]
    title = f"{model_name} on {dataset.name}, {part}, %, mean of {len(runs)} seeds"
    table = Table("", *shown, title=title)
    if protocol == "ratio":
        rows = {"epochs chosen on validation": means, "paper, epochs chosen on test": known}
    else:
        kept = {m.removeprefix("kept/"): v for m, v in means.items() if m.startswith("kept/")}
        rows = {"seen items masked": means, "seen items kept": kept, "published, masked": known}
    for label, row in rows.items():
        table.add_row(label, *(f"{100 * row[m]:.2f}" if m in row else "-" for m in shown))
    Console().print(table)
    bars = {
        f"{part}/{metric}_mean": common.at_least(limit, means[metric])
        for metric, limit in (BEFORE if dataset.name == "toys" else known).items()
        if arguments.seeds == SEEDS and not quick
    }
    common.write(
        "quality",
        figures,
        bars,
        arguments.json,
        machine,
        dataset=dataset.name,
        protocol=protocol,
        model=model_name,
        dataset_hash=dataset.content_hash,
        seeds=arguments.seeds,
        trained_by=commits,
        settings=settings_of(model_name, protocol),
    )


if __name__ == "__main__":
    main()

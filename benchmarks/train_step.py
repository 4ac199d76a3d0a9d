"""Training step, graph building, evaluation and memory on Beauty, against the machine's GEMM rate.

The limit of a step is the time that its necessary operations take at the rate of a square matrix
product, measured in turns with the steps. Necessary operations, with D width, N real nodes of a
prefix (no padding), I items, B prefixes:

    3 · Σ over prefixes [ N · (6D² + 6D² + 4D²) + 13 · N² · 2D + 2 · I · D ]

that is node input, Q/K/V, gate, nine score and four value products, output layer; times three for
forward and backward. Beauty's tables hold no images; seeded random vectors stand in for them, so
that the graphs have the paper's two modalities.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

import common

from mmsr.config import Config, GraphConfig
from mmsr.data import Dataset, FeatureTable, Prefixes, open_test
from mmsr.evaluation import evaluate
from mmsr.graph.batch import build_batch_graph
from mmsr.graph.codes import ModalityCodes, compute_codes
from mmsr.models.mmsr import MMSR
from mmsr.training.batching import bucketed_batches
from mmsr.training.loop import new_optimizer, train_step

SEED = 2023
GRAPHS = {"20x1": (20, 1), "30x3": (30, 3)}
IMAGE_WIDTH = 128


@dataclass(frozen=True)
class Bench:
    """One setting, ready to step."""

    config: Config
    model: MMSR
    optimizer: torch.optim.Optimizer
    examples: Prefixes
    batches: list[np.ndarray]

    @classmethod
    def make(cls, dataset: Dataset, codes: int, links: int, *, bf16: bool) -> Bench:
        config = Config(dataset=dataset.name).replace(
            {"graph.n_codes": codes, "graph.links_per_item": links, "training.bf16": bf16}
        )
        torch.manual_seed(SEED)
        model = MMSR(config, dataset.n_items, _codes(dataset, config.graph)).train()
        optimizer = new_optimizer(config, model)
        examples = dataset.development()
        batches = bucketed_batches(
            examples.lengths(config.graph.max_history),
            config.training.batch_size,
            np.random.default_rng(SEED),
        )
        return cls(config, model, optimizer, examples, batches)

    def histories(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        histories, targets = self.examples.batch(rows, self.config.graph.max_history)
        return torch.from_numpy(histories), torch.from_numpy(targets)

    def step(self, rows: np.ndarray) -> None:
        train_step(self.model, self.optimizer, *self.histories(rows), self.config)

    def graph(self, rows: np.ndarray) -> torch.Tensor:
        """Build a batch's graph and all its masks; returns the real nodes of each prefix."""
        tables = self.model.tables
        links = [tables.links(m) for m in tables.modalities]
        graph = build_batch_graph(self.histories(rows)[0], links)
        _ = graph.sequential, graph.within_bias, graph.cross_bias_BNN
        return graph.real_BN.sum(dim=1)

    def operations(self, rows: np.ndarray) -> float:
        """Necessary operations of a training step."""
        D, items = self.config.model.width, len(self.model.item_vectors())
        N = self.graph(rows).double()
        return 3 * float((N * 16 * D**2 + 13 * N**2 * 2 * D + 2 * items * D).sum())


def _codes(dataset: Dataset, graph: GraphConfig) -> dict[str, ModalityCodes]:
    rng = np.random.default_rng(SEED)
    images = FeatureTable(
        items=np.arange(dataset.n_items),
        vectors=rng.standard_normal((dataset.n_items, IMAGE_WIDTH)).astype(np.float32),
    )
    tables = {"image": images, "text": dataset.features("text")}
    return {
        name: compute_codes(table, dataset.n_items, graph, graph.codes_of(name), SEED)
        for name, table in tables.items()
    }


def _seconds(action, *arguments) -> float:
    started = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - started


def measure(bench: Bench, rounds: int, steps: int) -> dict[str, float]:
    """Step seconds, ratio to the GEMM limit and graph share: medians over rounds.

    Every round takes its own batches and its own GEMM rate, so that what else the machine does in
    that moment slows both.
    """
    for rows in bench.batches[:5]:
        bench.step(rows)
    ratios, times, shares = [], [], []
    for round_ in range(rounds):
        chosen = bench.batches[5 + round_ * steps : 5 + (round_ + 1) * steps]
        limit = sum(map(bench.operations, chosen)) / (
            common.gemm_gflops(torch.float32, seconds=0.3) * 1e9
        )
        spent = sum(_seconds(bench.step, rows) for rows in chosen)
        graphs = sum(_seconds(bench.graph, rows) for rows in chosen)
        ratios.append(spent / limit)
        times.append(spent / len(chosen))
        shares.append(graphs / spent)
    return {
        "ratio": statistics.median(ratios),
        "seconds": statistics.median(times),
        "graph_share": statistics.median(shares),
    }


def evaluation_seconds(bench: Bench, test: Prefixes, sample: int | None) -> float:
    """Seconds to rank all test prefixes with this untrained model, scaled up from a sample."""
    if sample is not None:
        rows = np.random.default_rng(SEED).permutation(len(test))[:sample]
        seconds = _seconds(_evaluate, bench, test.select(np.sort(rows)))
        return seconds * len(test) / sample
    return _seconds(_evaluate, bench, test)


def _evaluate(bench: Bench, prefixes: Prefixes) -> None:
    evaluate(bench.model, prefixes, max_history=bench.config.graph.max_history)


def _peak_of_training(name: str, steps: int) -> float:
    """Peak memory of a fresh process that trains at 30/3, longest histories included, and ranks."""
    dataset = Dataset.open(name)
    bench = Bench.make(dataset, *GRAPHS["30x3"], bf16=False)
    longest = max(bench.batches, key=lambda rows: bench.examples.lengths(50)[rows].max())
    for rows in [longest, *bench.batches[:steps]]:
        bench.step(rows)
    valid = dataset.valid()
    rows = np.argsort(-valid.lengths(50), kind="stable")[:1024]
    _evaluate(bench, valid.select(rows))
    return common.peak_rss_gb()


def main() -> None:
    arguments = common.parser(__doc__.splitlines()[0]).parse_args()
    rounds, steps = (3, 15) if arguments.quick else (9, 60)
    dataset = common.import_if_missing("beauty")
    machine = common.machine(seconds=0.5 if arguments.quick else 2.0)
    test = open_test(dataset)
    figures: dict[str, float] = {}
    for bf16 in (False, True):
        for label, (codes, links) in GRAPHS.items():
            kind = f"{'bf16' if bf16 else 'fp32'}_{label}"
            bench = Bench.make(dataset, codes, links, bf16=bf16)
            result = measure(bench, rounds, steps)
            figures[f"gemm_ratio_{kind}"] = result["ratio"]
            figures[f"step_seconds_{kind}"] = result["seconds"]
            if kind == "fp32_30x3":
                epoch = result["seconds"] * len(bench.batches)
                figures["graph_share"] = result["graph_share"]
                figures["evaluation_share"] = (
                    evaluation_seconds(bench, test, 4000 if arguments.quick else None) / epoch
                )
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peak = pool.apply(_peak_of_training, (dataset.name, 20 if arguments.quick else 200))
    figures["peak_rss_gb"] = peak
    bars = {
        "gemm_ratio_fp32_20x1": common.at_most(3, figures["gemm_ratio_fp32_20x1"]),
        "gemm_ratio_fp32_30x3": common.at_most(3, figures["gemm_ratio_fp32_30x3"]),
        "graph_share": common.at_most(0.05, figures["graph_share"]),
        "evaluation_share": common.at_most(0.25, figures["evaluation_share"]),
        "peak_rss_gb": common.at_most(1.5, figures["peak_rss_gb"]),
    }
    common.write("train_step", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()

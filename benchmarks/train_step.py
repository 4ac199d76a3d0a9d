"""Training step, graph building, evaluation and memory on Beauty, against the machine's GEMM rate.

A limit of a step is the time that operations take at the rate of a square matrix product, measured
in turns with the steps. Operations are counted in two ways; the step's time has a ratio to each:

`done_ratio_…`: the operations that the step's matrix products do, forward and backward, padding
included, as torch counts them. Its inverse is the share of the rate that the step reaches.

`gemm_ratio_…`: the operations of a model that computes every node. With D width, N real nodes of a
prefix (no padding), I items, B prefixes:

    3 · Σ over prefixes [ N · (6D² + 6D² + 4D²) + 13 · N² · 2D + 2 · I · D ]

that is node input, Q/K/V, gate, nine score and four value products, output layer; times three for
forward and backward. This model computes only what its readout depends on, so it does fewer, and
this ratio is no share of a rate: it compares the time with what the whole model would take.

Figures that are compared (fp32 and bf16, one aggregator and another) come from steps taken in
turns on the same batches, so that what else the machine does slows all alike. Threads are torch's
default; `OMP_NUM_THREADS` chooses them. Where the processor emulates bf16, its figures and bars are
left out: `bf16_native` of the machine says so.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode, baddbmm_flop

sys.path.insert(0, str(Path(__file__).parent))

import common
from beauty import GRAPHS, SEED, Codes, make_batches, make_codes

from mmsr.config import Config, GraphConfig
from mmsr.config.mmsr import MmsrConfig
from mmsr.data import Dataset, Prefixes
from mmsr.evaluation import evaluate
from mmsr.graph.build import build_batch_graph
from mmsr.models.mmsr.aggregators.attention_passes import QueryPasses
from mmsr.models.mmsr.model import MMSR
from mmsr.models.mmsr.registry import AGGREGATORS
from mmsr.training import bf16_is_native
from mmsr.training.allocation import keep_freed_memory
from mmsr.training.averaging import WeightAverage
from mmsr.training.step import new_optimizer, train_step

WARM_UP = 3
"""Batches that every bench steps through before anything is measured."""
IN_PLACE = {torch.ops.aten.baddbmm_: baddbmm_flop}
"""Products that torch's counter leaves out: GAT adds to its gradients in place."""


@dataclass(frozen=True)
class Bench:
    """One setting, ready to step."""

    config: Config
    model: MMSR
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    examples: Prefixes
    batches: list[np.ndarray]

    @classmethod
    def make(
        cls, dataset: Dataset, graph: GraphConfig, codes: Codes, settings: Mapping[str, object]
    ) -> Bench:
        config = Config(dataset=dataset.name, graph=graph).replace(settings)
        keep_freed_memory()
        torch.manual_seed(SEED)
        model = MMSR(config, dataset.n_items, codes).train()
        examples = dataset.development()
        return cls(
            config,
            model,
            new_optimizer(config, model),
            WeightAverage(model, config.training.averaging),
            examples,
            make_batches(examples, graph),
        )

    def histories(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        histories, targets = self.examples.batch(rows, self.config.graph.max_history)
        return torch.from_numpy(histories), torch.from_numpy(targets)

    def step(self, rows: np.ndarray) -> None:
        """What training does with a batch."""
        train_step(self.model, self.optimizer, *self.histories(rows), self.config)
        self.average.update(self.model)

    def graph(self, rows: np.ndarray) -> torch.Tensor:
        """Build what a step of the default model builds of a graph; its real nodes per prefix."""
        tables = self.model.tables
        links = [tables.links(m) for m in tables.modalities]
        graph = build_batch_graph(self.histories(rows)[0], links)
        _ = graph.mean_occurrence_BNL, graph.is_type_BNT, graph.item_cross_bias_BnX
        sequence = self.model.fusion.sequence
        passes = QueryPasses(sequence.layers[0], graph, sequence.readout.queries(graph))
        for type_, wanted in enumerate(passes.rows):
            graph.within_of(type_, wanted)
        return graph.real_BN.sum(dim=1)

    def done_operations(self, rows: np.ndarray) -> float:
        """Operations of the matrix products that a step really computes; takes the step."""
        with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
            self.step(rows)
        return float(counter.get_total_flops())

    def all_nodes_operations(self, rows: np.ndarray) -> float:
        """Necessary operations of a training step that computes every node."""
        D, items = self.config.model.width, len(self.model.item_vectors())
        N = self.graph(rows).double()
        return 3 * float((N * 16 * D**2 + 13 * N**2 * 2 * D + 2 * items * D).sum())


def _seconds(action: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Rounds:
    """What was measured in every round, on its own batches."""

    seconds: dict[str, list[float]]
    """Mean time of a step, by bench."""
    graphs: list[float]
    """Mean time of building a batch's graph and masks."""
    rates: list[float]
    """Operations per second of a square matrix product."""
    done: list[float]
    """Mean operations that a step does."""
    all_nodes: list[float]
    """Mean operations of a step that computes every node."""

    @classmethod
    def measure(cls, benches: Mapping[str, Bench], rounds: int, steps: int) -> Rounds:
        """Let all benches take each step in turns; the first is of the default model.

        Operations and graph are the first one's.
        """
        first, *_ = benches.values()
        for rows in first.batches[:WARM_UP]:
            for bench in benches.values():
                bench.step(rows)
        result = cls({name: [] for name in benches}, [], [], [], [])
        for round_ in range(rounds):
            start = WARM_UP + round_ * steps
            chosen = first.batches[start : start + steps]
            result.done.append(statistics.fmean(map(first.done_operations, chosen)))
            result.all_nodes.append(statistics.fmean(map(first.all_nodes_operations, chosen)))
            result.rates.append(common.gemm_gflops(torch.float32, seconds=0.3) * 1e9)
            spent = dict.fromkeys(benches, 0.0)
            for rows in chosen:
                for name, bench in benches.items():
                    spent[name] += _seconds(bench.step, rows)
            for name, total in spent.items():
                result.seconds[name].append(total / len(chosen))
            graphs = sum(_seconds(first.graph, rows) for rows in chosen)
            result.graphs.append(graphs / len(chosen))
        return result

    def step_seconds(self, name: str) -> float:
        """Median time of a step."""
        return statistics.median(self.seconds[name])

    def done_ratio(self, name: str) -> float:
        """Median of step ÷ the time of its own operations at the machine's rate."""
        return _median_ratio(self.seconds[name], self._times(self.done))

    def gemm_ratio(self, name: str) -> float:
        """Median of step ÷ the time of computing every node at the machine's rate."""
        return _median_ratio(self.seconds[name], self._times(self.all_nodes))

    def _times(self, operations: list[float]) -> list[float]:
        return [count / rate for count, rate in zip(operations, self.rates, strict=True)]

    def speedup(self, of: str, over: str) -> float:
        """Median of how many times as fast one bench is as the other."""
        return _median_ratio(self.seconds[over], self.seconds[of])

    def graph_share(self, name: str) -> float:
        """Median of the graph's part of a step."""
        return _median_ratio(self.graphs, self.seconds[name])


def _median_ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def evaluation_seconds(bench: Bench, valid: Prefixes, sample: int | None) -> float:
    """Seconds to rank all validation prefixes with this untrained model, scaled from a sample."""
    if sample is not None:
        rows = np.random.default_rng(SEED).permutation(len(valid))[:sample]
        seconds = _seconds(_evaluate, bench, valid.select(np.sort(rows)))
        return seconds * len(valid) / sample
    return _seconds(_evaluate, bench, valid)


def _evaluate(bench: Bench, prefixes: Prefixes) -> None:
    evaluate(bench.model, prefixes, max_history=bench.config.graph.max_history)


def _peak_of_training(name: str, steps: int) -> float:
    """Peak memory of a fresh process that trains at 30/3, longest histories included, and ranks."""
    dataset = Dataset.open(name)
    graph = GRAPHS["30x3"]
    bench = Bench.make(dataset, graph, make_codes(dataset, graph), {})
    longest = max(bench.batches, key=lambda rows: bench.examples.lengths(50)[rows].max())
    for rows in [longest, *bench.batches[:steps]]:
        bench.step(rows)
    valid = dataset.valid()
    rows = np.argsort(-valid.lengths(50), kind="stable")[:1024]
    _evaluate(bench, valid.select(rows))
    return common.peak_rss_gb()


def number_types(dataset: Dataset, quick: bool) -> dict[str, float]:
    """Figures of the model as it is by default, in fp32 and, where the processor has it, bf16."""
    kinds = ("fp32", "bf16") if bf16_is_native("cpu") else ("fp32",)
    figures: dict[str, float] = {}
    for label, graph in GRAPHS.items():
        codes = make_codes(dataset, graph)
        benches = {
            kind: Bench.make(dataset, graph, codes, {"training.bf16": kind == "bf16"})
            for kind in kinds
        }
        measured = Rounds.measure(benches, *((3, 8) if quick else (9, 60)))
        for kind in benches:
            figures[f"done_ratio_{kind}_{label}"] = measured.done_ratio(kind)
            figures[f"gemm_ratio_{kind}_{label}"] = measured.gemm_ratio(kind)
            figures[f"step_seconds_{kind}_{label}"] = measured.step_seconds(kind)
        figures[f"gflop_done_{label}"] = statistics.fmean(measured.done) / 1e9
        figures[f"gflop_all_nodes_{label}"] = statistics.fmean(measured.all_nodes) / 1e9
        if "bf16" in kinds:
            figures[f"bf16_speedup_{label}"] = measured.speedup("bf16", over="fp32")
        if label == "30x3":
            epoch = measured.step_seconds("fp32") * len(benches["fp32"].batches)
            ranking = evaluation_seconds(benches["fp32"], dataset.valid(), 3000 if quick else None)
            figures["graph_share"] = measured.graph_share("fp32")
            figures["evaluation_share"] = ranking / epoch
    return figures


def all_aggregators(dataset: Dataset, quick: bool) -> dict[str, float]:
    """Step seconds of every aggregator at 30/3 in fp32, and how many times the default's they are.

    Both are medians over rounds, so that one is not exactly the other's quotient.
    """
    graph = GRAPHS["30x3"]
    codes = make_codes(dataset, graph)
    default = MmsrConfig().aggregator.name
    benches = {
        name: Bench.make(dataset, graph, codes, {"model.aggregator.name": name})
        for name in sorted(AGGREGATORS, key=lambda name: name != default)
    }
    measured = Rounds.measure(benches, *((3, 3) if quick else (9, 20)))
    figures: dict[str, float] = {}
    table = Table("aggregator", "ms a step", f"÷ {default}", title="30 codes, 3 links, fp32")
    for name in benches:
        seconds, ratio = measured.step_seconds(name), measured.speedup(default, over=name)
        figures[f"step_seconds_{name}_30x3"] = seconds
        figures[f"step_ratio_{name}_30x3"] = ratio
        table.add_row(name, f"{1000 * seconds:.1f}", f"{ratio:.2f}")
    Console().print(table)
    return figures


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return common.parser(__doc__.splitlines()[0])


def main() -> None:
    arguments = parser().parse_args()
    quick = arguments.quick
    dataset = common.import_if_missing("beauty")
    machine = common.machine(seconds=0.5 if quick else 2.0)
    figures = number_types(dataset, quick)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        figures["peak_rss_gb"] = pool.apply(_peak_of_training, (dataset.name, 20 if quick else 200))
    bars = {
        "gemm_ratio_fp32_20x1": common.at_most(2, figures["gemm_ratio_fp32_20x1"]),
        "gemm_ratio_fp32_30x3": common.at_most(2, figures["gemm_ratio_fp32_30x3"]),
        **{
            key: common.at_least(1.5, value)
            for key, value in figures.items()
            if key.startswith("bf16_speedup")
        },
        "graph_share": common.at_most(0.05, figures["graph_share"]),
        "evaluation_share": common.at_most(0.25, figures["evaluation_share"]),
        "peak_rss_gb": common.at_most(1.5, figures["peak_rss_gb"]),
    }
    figures |= all_aggregators(dataset, quick)
    common.write("train_step", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()

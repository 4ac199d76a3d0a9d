"""One graph attention layer: dense on padded batch graphs against sparse message passing.

The same layer (eqs. 9-11, one head, no dropout) with the same weights, on the same batches of 128
prefixes of Beauty, forward and backward to input and parameters: `mmsr`'s on the padded batch
graph, and torch-geometric's `GATConv` on the edges of the real nodes, without any padding. That
both give the same rows to 1e-4 is checked first. Batches are taken in turns, so that what else
the machine does slows both alike. Four comparisons, all rows on the sparse side in each:

- `speedup_layer`: all rows; edges and relations are there already. This one has the bar.
- `speedup_with_structure`: all rows; the batch graph is built from the histories first, and for the
  sparse layer its edges listed from the graph's relations.
- `speedup_last_row`: as `speedup_layer`, but the dense side computes the row of the last item
  alone, which is what training asks of a last layer.
- `speedup_layer_kept`: as `speedup_layer`, with freed memory kept (`mmsr.training.allocation`), as
  our training does. The sparse layer, which allocates more, gains more by that.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

import common
from beauty import GRAPHS, SEED, make_batches, make_codes

from mmsr.config import GraphConfig
from mmsr.config.mmsr import GatConfig, MmsrConfig
from mmsr.data import Dataset
from mmsr.graph.batch import BatchGraph
from mmsr.graph.build import build_batch_graph
from mmsr.models.mmsr.aggregators.gat import Gat
from mmsr.training.allocation import keep_freed_memory

WIDTH = MmsrConfig().width
TOLERANCE = 1e-4
BAR = 3.0
"""Times as fast as sparse message passing."""


@dataclass(frozen=True)
class Layers:
    """The same layer, dense and sparse."""

    dense: Gat
    sparse: torch.nn.Module

    @classmethod
    def make(cls, n_types: int, width: int = WIDTH) -> Layers:
        from torch_geometric.nn import GATConv

        torch.manual_seed(SEED)
        config = GatConfig(dropout=0.0)
        dense = Gat(config, n_types, width)
        sparse = GATConv(width, width, add_self_loops=False, negative_slope=config.negative_slope)
        with torch.no_grad():
            sparse.lin.weight.copy_(dense.weight.flatten(1).T)
            sparse.att_dst.copy_(dense.own[None])
            sparse.att_src.copy_(dense.other[None])
            sparse.bias.copy_(dense.bias.normal_())
        return cls(dense, sparse)


@dataclass(frozen=True)
class Batch:
    """One batch in both forms, with node vectors and the gradient of the output."""

    histories_BL: Tensor
    links: list[Tensor]
    graph: BatchGraph
    edges_2E: Tensor
    h_BND: Tensor
    gradient_BND: Tensor

    @classmethod
    def make(cls, histories_BL: Tensor, links: list[Tensor], width: int = WIDTH) -> Batch:
        graph = build_batch_graph(histories_BL, links)
        shape = (*graph.real_BN.shape, width)
        h, gradient = torch.randn(shape), torch.randn(shape) * graph.real_BN[..., None]
        return cls(histories_BL, links, graph, edges_of(graph), h, gradient)

    def dense(self, layer: Gat, graph: BatchGraph) -> Tensor:
        """Forward and backward on all rows of the padded graph; returns the output."""
        h = self.h_BND.detach().requires_grad_()
        return _backward(layer(graph, h, None), self.gradient_BND)

    def last_row(self, layer: Gat) -> Tensor:
        """Forward and backward on the last item's row alone."""
        h = self.h_BND.detach().requires_grad_()
        output = layer(self.graph, h, self.graph.last_BK)
        return _backward(output, self.gradient_BND[:, : output.shape[1]])

    def sparse(self, layer: torch.nn.Module, edges_2E: Tensor, real: Tensors) -> Tensor:
        """Forward and backward by message passing between the real nodes."""
        h, gradient = real
        return _backward(layer(h.detach().requires_grad_(), edges_2E), gradient)

    def packed(self) -> Tensors:
        """Vectors and gradients of the real nodes alone."""
        return self.h_BND[self.graph.real_BN], self.gradient_BND[self.graph.real_BN]

    def build(self) -> BatchGraph:
        """The graph with its relations, from the histories."""
        graph = build_batch_graph(self.histories_BL, self.links)
        _ = graph.relation_BNN
        return graph


Tensors = tuple[Tensor, Tensor]


def _backward(output: Tensor, gradient: Tensor) -> Tensor:
    torch.autograd.backward(output, gradient)
    return output.detach()


def edges_of(graph: BatchGraph) -> Tensor:
    """Edges `[2, E]` from neighbour to reader, sorted by reader; real nodes are counted through."""
    number_BN = graph.real_BN.flatten().cumsum(0).view_as(graph.real_BN) - 1
    related = graph.relation_BNN.bool() & graph.real_BN[:, :, None] & graph.real_BN[:, None]
    row, reader, neighbour = related.nonzero(as_tuple=True)
    return torch.stack((number_BN[row, neighbour], number_BN[row, reader]))


def largest_difference(layers: Layers, batch: Batch) -> float:
    """Largest difference of an output between the two layers, in all rows and in the last."""
    with torch.no_grad():
        everywhere = layers.dense(batch.graph, batch.h_BND, None)
        last = layers.dense(batch.graph, batch.h_BND, batch.graph.last_BK)
        expected = torch.zeros_like(everywhere)
        expected[batch.graph.real_BN] = layers.sparse(batch.packed()[0], batch.edges_2E)
        batches = torch.arange(len(last))[:, None]
        at_last = (last - expected[batches, batch.graph.last_BK]).abs().max()
        in_all = (everywhere - expected)[batch.graph.real_BN].abs().max()
    return max(in_all.item(), at_last.item())


def measure(layers: Layers, batches: list[Batch], rounds: int) -> dict[str, float]:
    """Seconds of a batch and ratios, medians over rounds."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for round_ in range(rounds + 1):  # the first warms up
        spent: defaultdict[str, float] = defaultdict(float)
        for batch in batches:
            real = batch.packed()
            ways: dict[str, Callable[[], Tensor]] = {
                "dense": lambda b=batch: b.dense(layers.dense, b.graph),
                "sparse": lambda b=batch, r=real: b.sparse(layers.sparse, b.edges_2E, r),
                "last_row": lambda b=batch: b.last_row(layers.dense),
                "dense_with_structure": lambda b=batch: b.dense(layers.dense, b.build()),
                "sparse_with_structure": lambda b=batch, r=real: b.sparse(
                    layers.sparse, edges_of(b.build()), r
                ),
            }
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                spent[name] += time.perf_counter() - started
        if round_:
            for name, total in spent.items():
                seconds[name].append(total / len(batches))
    figures = {f"{name}_seconds": statistics.median(times) for name, times in seconds.items()}
    for figure, dense, sparse in (
        ("speedup_layer", "dense", "sparse"),
        ("speedup_with_structure", "dense_with_structure", "sparse_with_structure"),
        ("speedup_last_row", "last_row", "sparse"),
    ):
        pairs = zip(seconds[sparse], seconds[dense], strict=True)
        figures[figure] = statistics.median(s / d for s, d in pairs)
    return figures


def beauty_batches(dataset: Dataset, graph: GraphConfig, n: int) -> list[Batch]:
    """The first `n` batches of an epoch on Beauty."""
    links = [torch.from_numpy(codes.links) for codes in make_codes(dataset, graph).values()]
    examples = dataset.development()
    chosen = make_batches(examples, graph)[:n]
    torch.manual_seed(SEED)
    return [
        Batch.make(torch.from_numpy(examples.batch(rows, graph.max_history)[0]), links)
        for rows in chosen
    ]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return common.parser(__doc__.splitlines()[0])


def main() -> None:
    arguments = parser().parse_args()
    n_batches, rounds = (8, 3) if arguments.quick else (40, 9)
    dataset = common.import_if_missing("beauty")
    machine = common.machine(seconds=0.5 if arguments.quick else 2.0)
    figures: dict[str, float] = {}
    bars: dict[str, common.Bar] = {}
    prepared: dict[str, tuple[Layers, list[Batch]]] = {}
    for label, graph in GRAPHS.items():
        batches = beauty_batches(dataset, graph, n_batches)
        layers = Layers.make(1 + len(batches[0].links))
        difference = max(largest_difference(layers, batch) for batch in batches)
        if difference > TOLERANCE:
            raise SystemExit(f"{label}: outputs differ by {difference:.2g} > {TOLERANCE}")
        measured = measure(layers, batches, rounds)
        measured["largest_difference"] = difference
        measured["edges_per_batch"] = statistics.mean(b.edges_2E.shape[1] for b in batches)
        figures |= {f"{name}_{label}": value for name, value in measured.items()}
        bars[f"speedup_layer_{label}"] = common.at_least(BAR, measured["speedup_layer"])
        prepared[label] = layers, batches
    keep_freed_memory()  # for good, so last
    for label, (layers, batches) in prepared.items():
        kept = measure(layers, batches, rounds)["speedup_layer"]
        figures[f"speedup_layer_kept_{label}"] = kept
    common.write("sparse_gat", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()

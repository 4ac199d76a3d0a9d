"""The training step's benchmark: its count of operations, and what it makes of its rounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmsr.config import GraphConfig
from mmsr.models.mmsr.registry import AGGREGATORS


@pytest.fixture
def train_step(load):
    return load("train_step")


@pytest.fixture
def make_bench(train_step, shop):
    graph = GraphConfig(n_codes=4, links_per_item=2, max_history=6)
    codes = train_step.make_codes(shop, graph)

    def make(**settings):
        width = {"model.width": 8}
        return train_step.Bench.make(shop, graph, codes, {**width, **settings})

    return make


def test_operations_are_those_of_the_formula(make_bench):
    bench = make_bench()
    rows = np.arange(5)
    histories, _ = bench.examples.batch(rows, 6)
    D, total = 8, 0
    for history in histories:
        items = {item for item in history.tolist() if item >= 0}
        N = len(items)
        for modality in bench.model.tables.modalities:
            links = bench.model.tables.links(modality)
            N += len({code for i in items for code in links[i].tolist() if code >= 0})
        total += N * 16 * D**2 + 13 * N**2 * 2 * D + 2 * len(bench.model.item_vectors()) * D
    assert bench.all_nodes_operations(rows) == 3 * total


PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "addbmm")
"""Products of matrices, which may also come in place; those with a vector are too small."""


class Products(TorchDispatchMode):
    """Counts the multiplications and additions of all products, by their operands' shapes."""

    def __init__(self):
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::").rstrip("_")
        if name in PRODUCTS:
            left, right = [a for a in args if isinstance(a, torch.Tensor)][-2:]
            assert left.shape[-1] == right.shape[-2], "a product of two matrices"
            self.operations += 2 * left.numel() * right.shape[-1]
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", sorted(AGGREGATORS))
def test_operations_done_are_those_of_all_products_of_a_step(make_bench, name):
    bench = make_bench(**{"model.aggregator.name": name})
    rows = np.arange(5)
    with Products() as products:
        bench.step(rows)
    assert bench.done_operations(rows) == products.operations > 0


def test_a_step_does_less_than_computing_every_node(make_bench):
    bench = make_bench(**{"model.width": 32})
    rows = next(b for b in bench.batches if len({*bench.examples.lengths(6)[b]}) == 1)
    scores = 2 * len(rows) * len(bench.model.item_vectors()) * 32
    assert 3 * scores < bench.done_operations(rows) < bench.all_nodes_operations(rows)


def test_ratios_are_medians_over_rounds(train_step):
    rounds = train_step.Rounds(
        seconds={"slow": [2.0, 40.0, 3.0], "fast": [1.0, 10.0, 3.0]},
        graphs=[0.5, 4.0, 0.3],
        rates=[2.0, 1.0, 3.0],
        done=[1.0, 5.0, 3.0],
        all_nodes=[2.0, 10.0, 6.0],
    )
    assert rounds.step_seconds("slow") == 3.0
    assert rounds.gemm_ratio("slow") == 2.0
    assert rounds.done_ratio("slow") == 4.0
    assert rounds.speedup("fast", over="slow") == 2.0
    assert rounds.graph_share("slow") == pytest.approx(0.1)


def test_all_benches_step_through_the_same_batches(train_step, make_bench, monkeypatch):
    monkeypatch.setattr(train_step.common, "gemm_gflops", lambda *_, **__: 1.0)
    monkeypatch.setattr(train_step, "WARM_UP", 1)
    benches = {name: make_bench(**{"model.aggregator.name": name}) for name in AGGREGATORS}
    stepped = {name: [] for name in benches}
    for name, bench in benches.items():
        step = bench.step
        object.__setattr__(
            bench, "step", lambda rows, n=name, s=step: (stepped[n].append(rows.tolist()), s(rows))
        )
    measured = train_step.Rounds.measure(benches, rounds=2, steps=1)
    first, *others = stepped.values()
    assert all(len(rows) == 3 and rows == others[0] for rows in others)
    once, *counted_and_timed = others[0]
    assert first == [once, *(rows for rows in counted_and_timed for _ in range(2))]
    assert measured.seconds.keys() == benches.keys()
    assert all(t > 0 for times in measured.seconds.values() for t in times)
    assert len(measured.rates) == len(measured.graphs) == 2
    assert all(done > 0 for done in (*measured.done, *measured.all_nodes))

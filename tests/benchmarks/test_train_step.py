"""The training step's benchmark: its count of operations, and what it makes of its rounds."""

from __future__ import annotations

import numpy as np
import pytest

from mmsr.config import GraphConfig
from mmsr.models.registry import AGGREGATORS


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
    assert bench.operations(rows) == 3 * total


def test_ratios_are_medians_over_rounds(train_step):
    rounds = train_step.Rounds(
        seconds={"slow": [2.0, 40.0, 3.0], "fast": [1.0, 10.0, 3.0]},
        limits=[1.0, 10.0, 2.0],
        graphs=[0.5, 4.0, 0.3],
    )
    assert rounds.step_seconds("slow") == 3.0
    assert rounds.gemm_ratio("slow") == 2.0
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
    assert len(first) == 3
    assert all(rows == first for rows in others)
    assert measured.seconds.keys() == benches.keys()
    assert all(t > 0 for times in measured.seconds.values() for t in times)
    assert len(measured.limits) == len(measured.graphs) == 2

"""What the benchmark of search methods makes of the studies' curves."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest


def test_figures_compare_seed_by_seed(load):
    curves = {
        "demo": {
            "tpe": [[0.1, 0.2, 0.2, 0.5], [0.1, 0.1, 0.1, 0.1]],
            "random": [[0.1, 0.1, 0.3, 0.3], [0.2, 0.2, 0.2, 0.2]],
        },
        "toys": {"tpe": [[0.1, 0.3]], "random": [[0.2, 0.4]]},
    }
    figures = load("search_methods").figures_of(curves)
    assert figures["demo_tpe_best_mean"] == pytest.approx(0.3)
    assert figures["demo_tpe_best_mean_halfway"] == pytest.approx(0.15)
    assert figures["demo_random_best_mean"] == pytest.approx(0.25)
    assert figures["demo_gain_mean"] == pytest.approx(0.05)
    assert (figures["demo_seeds_won"], figures["demo_seeds_lost"]) == (1, 1)
    assert figures["toys_gain_mean"] == pytest.approx(-0.1)
    assert figures["toys_gain_relative"] == pytest.approx(-0.25)
    assert "toys_seeds_won" not in figures


def test_both_methods_train_the_same(load, monkeypatch):
    benchmark = load("search_methods")
    ran = []
    monkeypatch.setattr(benchmark, "execute", lambda study, options: ran.append(study) or 0)
    monkeypatch.setattr(benchmark, "look_up", lambda name: SimpleNamespace(study=name))
    found = [SimpleNamespace(value=value) for value in (0.2, None, 0.1, 0.3)]
    monkeypatch.setattr(benchmark, "rows", lambda study: found)
    for method in ("tpe", "random"):
        assert benchmark.run(benchmark.TOYS, method, 7) == [0.2, 0.2, 0.2, 0.3]
    tpe, random = ran
    assert dataclasses.replace(random, name=tpe.name, sampler=tpe.sampler) == tpe
    assert tpe.name != random.name
    assert (tpe.trials, tpe.seed, tpe.pruner, tpe.enqueue) == (12, 7, None, ())
    assert tpe.sampler != random.sampler

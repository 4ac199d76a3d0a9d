"""What the benchmark of search methods makes of the studies' curves."""

from __future__ import annotations

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


def test_both_methods_train_the_same(load):
    benchmark = load("search_methods")
    assert benchmark.TOYS.trials == 12
    assert set(benchmark.METHODS) == {"tpe", "random"}

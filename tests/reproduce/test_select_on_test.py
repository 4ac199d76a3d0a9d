"""The trainer that chooses on test: what it yields says so, and cannot pass for validation."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from mmsr.config import METRICS, Config
from mmsr.data.held_out import open_test
from mmsr.evaluation import evaluate, ranking_metrics
from mmsr.reproduce.select_on_test import read_best, train_selecting_on_test
from mmsr.training import train

SMALL = Config(dataset="shop").replace(
    {
        "graph.n_codes": 5,
        "model.width": 8,
        "training.epochs": 4,
        "training.batch_size": 32,
        "training.learning_rate": 0.02,
        "training.threads": 1,
    }
)


def figures(result):
    return {k: v for k, v in result.metrics.items() if k.startswith("test-selected/")}


def test_metrics_are_of_test_after_training_on_all_development_data(shop):
    test = open_test(shop, who="tests", why="the oracle")
    expected = []
    for result in train(SMALL, shop, part="development"):
        expected.append(ranking_metrics(evaluate(result.model, test, max_history=50)))
    found = [figures(result) for result in train_selecting_on_test(SMALL, shop)]
    assert found == [{f"test-selected/{k}": v for k, v in one.items()} for one in expected]


def test_every_metric_has_its_own_best_epoch(shop):
    results = list(train_selecting_on_test(SMALL, shop))
    for name in METRICS:
        values = [r.metrics[f"test-selected/{name}"] for r in results]
        assert results[-1].best_metrics[f"test-selected/{name}"] == max(values)
        assert results[-1].best.epochs[name] == 1 + values.index(max(values))
    assert results[-1].best_epoch == results[-1].best.epochs["mrr@20"]
    assert [r.finished for r in results] == [False, False, False, True]


def test_it_yields_nothing_that_an_ordinary_study_could_maximise(shop):
    for result in train_selecting_on_test(SMALL.replace({"training.epochs": 1}), shop):
        names = {*result.metrics, *result.best_metrics}
        assert not [name for name in names if name.startswith(("valid/", "test/"))]
        assert len([name for name in names if name.startswith("test-selected/")]) == len(METRICS)


def test_kept_ranks_give_the_best_figures(shop, tmp_path):
    *_, result = train_selecting_on_test(SMALL, shop)
    result.save_checkpoint(tmp_path / "kept")
    best, ranks, users = read_best(tmp_path / "kept")
    for name in METRICS:
        expected = result.best_metrics[f"test-selected/{name}"]
        assert ranking_metrics(ranks[name])[name] == expected == best.values[name]
    assert np.array_equal(users, open_test(shop, who="tests", why="the oracle").users)


def test_an_interrupted_run_ends_as_an_uninterrupted_one(shop, tmp_path):
    whole = list(train_selecting_on_test(SMALL, shop))
    for result in train_selecting_on_test(SMALL, shop):
        if result.epoch == 2:
            result.save_checkpoint(tmp_path / "half")
            break
    rest = list(train_selecting_on_test(SMALL, shop, resume=tmp_path / "half"))
    assert [figures(r) for r in rest] == [figures(r) for r in whole[2:]]
    assert rest[-1].best == whole[-1].best
    rest[-1].save_checkpoint(tmp_path / "whole")
    assert list(train_selecting_on_test(SMALL, shop, resume=tmp_path / "whole")) == []


def test_patience_ends_a_run_that_no_longer_improves(shop):
    config = SMALL.replace({"training.epochs": 60, "training.patience": 1})
    results = list(train_selecting_on_test(config, shop))
    assert len(results) < 60
    assert results[-1].best.improved == results[-1].epoch - 1
    values = [figures(result) for result in results]
    best = {name: max(one[name] for one in values[:-1]) for name in values[0]}
    assert all(values[-1][name] <= best[name] for name in best)


def test_it_needs_the_test_file_and_ordinary_training_does_not(study_home, tmp_path):
    from mmsr.data import Dataset
    from mmsr.errors import UserError

    file = study_home / "held-out" / "shop" / "test.arrow"
    shutil.move(file, tmp_path / "away")
    once = SMALL.replace({"training.epochs": 1})
    assert len(list(train(once, Dataset.open("shop")))) == 1
    with pytest.raises(UserError):
        next(train_selecting_on_test(once, Dataset.open("shop")))

"""Robustness on test: what is looked at while `finalize` has test open."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.evaluation import evaluate, ranking_metrics
from mmsr.robustness.on_test import TestLook, report_test
from mmsr.training.step import new_model

CONFIG = Config(dataset="shop").replace(
    {
        "graph.n_codes": 5,
        "graph.links_per_item": 2,
        "model.width": 8,
        "model.scoring": "item_and_codes",
    }
)


def study(folder: Path) -> SimpleNamespace:
    definition = SimpleNamespace(
        objective="valid/mrr@20", dataset="shop", dataset_hash="0", protocol="ratio"
    )
    return SimpleNamespace(name="s", folder=SimpleNamespace(path=folder), definition=definition)


def refit(seed: int) -> SimpleNamespace:
    return SimpleNamespace(
        number=seed, settings={"trial": 3, "seed": seed}, config=CONFIG.replace({"seed": seed})
    )


def test_refits_are_ranked_once_and_averaged(shop: Dataset, tmp_path: Path):
    rows = [refit(seed) for seed in (1, 2)]
    models = [new_model(row.config, shop) for row in rows]
    look = TestLook(study(tmp_path))
    for row, model in zip(rows, models, strict=True):
        look(row, model, shop.valid())
    (found,) = look.results().values()
    clean = [
        ranking_metrics(evaluate(model, shop.valid(), max_history=50))["mrr@20"] for model in models
    ]
    assert (found.part, found.trial, found.origin) == ("test", 3, "2 refits of trial 3")
    for curve in found.curves.curves:
        assert abs(curve.points[0].value - sum(clean) / 2) < 1e-12
    assert len(found.curves.mask_seeds) == 3
    with torch.no_grad():
        for parameter in models[0].parameters():
            parameter.zero_()
    again = TestLook(study(tmp_path))
    for row, model in zip(rows, models, strict=True):
        again(row, model, shop.valid())
    assert again.results()[3].curves == found.curves, "ranks that were kept are not made again"


def test_where_test_stayed_closed_nothing_is_said_of_it(shop: Dataset, tmp_path: Path, capsys):
    from mmsr.console import Console

    look = TestLook(study(tmp_path))
    assert look.results() == {}
    report_test(look, Console())
    assert "test was not opened by this call" in capsys.readouterr().out
    row = refit(1)
    row.config = row.config.replace({"graph.modalities": []})
    look(row, new_model(row.config, shop), shop.valid())
    report_test(look, Console())
    assert "no modalities" in capsys.readouterr().out

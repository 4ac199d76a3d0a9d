"""Names, params and descriptions of runs."""

from __future__ import annotations

from mmsr.config import Config
from mmsr.study.search.space import apply
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.progress import Progress
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.descriptions import LONGEST, code, study_text
from mmsr.study.views.run_names import number, numbered, params_of, run_name

BASE = Config(dataset="shop")
SETTINGS = {
    "training.learning_rate": 2e-3,
    "model.width": 128,
    "graph.n_codes": 30,
    "graph.links_per_item": 3,
    "model.fusion": "adaptive",
    "model.aggregator.order": "ni_hohe",
}


def test_a_name_has_what_the_study_varies():
    config = apply(BASE, SETTINGS)
    assert run_name(config, SETTINGS) == "ni_hohe · 30×3 · d128 · lr 2e-3"
    assert numbered(run_name(config, {}), 4) == "#4 · mmsr"
    assert run_name(config, SETTINGS, model=True).startswith("mmsr · ni_hohe · ")
    more = {**SETTINGS, "model.dropout": 0.4, "model.aggregator.share_qkv": False}
    assert run_name(apply(BASE, more), more).endswith("lr 2e-3 · dropout 0.4 · no share qkv")
    one = {"graph.n_codes": 20}
    assert run_name(apply(BASE, one), one) == f"20×{BASE.graph.links_per_item}"
    unknown = {"row": "x" * 200}
    assert len(run_name(BASE, unknown)) <= 90


def test_numbers_are_short():
    shown = [number(value) for value in (2e-3, 0.4, 1.53e-4, 0, 128, 1e6)]
    assert shown == ["2e-3", "0.4", "1.5e-4", "0", "128", "1e6"]


def test_a_dimension_that_does_not_exist_in_a_trial_is_no_param():
    settings = {"model.fusion": "early", "graph.n_codes": 30}
    found = params_of(apply(BASE, settings), settings, {*SETTINGS})
    assert "model.aggregator.order" not in found
    assert found["model.fusion"] == "early"
    assert found["model.dropout"] == BASE.flat()["model.dropout"]
    assert "graph.links_per_item" in found


def row(number, value):
    return TrialRow(
        number=number,
        state="finished",
        value=value,
        best_epoch=2,
        epochs=3,
        seconds=5.0,
        params=SETTINGS,
        metrics={"valid/mrr@20": value},
        stored_config=apply(BASE, SETTINGS).to_dict(),
        error=None,
        mlflow_run_id=None,
        code={},
    )


def test_a_study_is_described():
    definition = Definition(
        dataset="shop",
        dataset_hash="ab" * 32,
        protocol="ratio",
        objective="valid/mrr@20",
        pruner="none",
        space=dict.fromkeys(SETTINGS, "a | b"),
        config={},
    )
    progress = Progress(
        over=2, wanted=2, exhausted=False, used_up=None, rows=(row(0, 0.1), row(1, 0.25))
    )
    text = study_text(
        "small", definition, progress, {"users": 1200}, "TPE", "python `x`|y", running=False
    )
    assert "**Best: trial 1**, valid/mrr@20 25.000 % at epoch 2 of 3" in text
    assert "1,200 users" in text
    assert "2 of 2 done: 2 finished" in text
    assert "`python 'x'\\|y`" in text
    assert "| `model.width` | `a \\| b` | `128` |" in text
    many = definition.model_copy(update={"space": {f"key.{n}": "x" * 50 for n in range(300)}})
    long = study_text("small", many, progress, {}, "TPE", "", running=True)
    assert len(long) <= LONGEST
    assert "more rows" in long


def test_what_users_write_stays_text():
    assert code("<script>`|\n") == "`<script>'\\|`"

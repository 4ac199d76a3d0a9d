"""Reproductions on Ray, from the command to its files: test is opened once, never by a trial."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.data.held_out import open_test
from mmsr.errors import UserError
from mmsr.evaluation import evaluate, ranking_metrics
from mmsr.finalize.request import make_final_plan
from mmsr.reproduce.results import Results
from mmsr.study.results.export import export_best
from mmsr.study.storage.known_study import look_up
from mmsr.training import train

pytestmark = pytest.mark.slow

SMALL = [
    *("--set", "model.width=8", "--set", "graph.n_codes=6", "--set", "training.batch_size=32"),
    *("--dataset", "shop", "--epochs", "1"),
]


@pytest.fixture(scope="module")
def place(shop_home, tmp_path_factory):
    """A home of its own, and the command in it."""
    folder = tmp_path_factory.mktemp("reproduce")
    home = folder / "home"
    for part in ("datasets", "held-out"):
        shutil.copytree(shop_home / part, home / part)

    def run(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "mmsr.cli.app", "reproduce", *arguments],
            env={**os.environ, "MMSR_HOME": str(home), "COLUMNS": "100"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return SimpleNamespace(out=done.stdout, err=done.stderr)

    test_file = home / "held-out" / "shop" / "test.arrow"
    return SimpleNamespace(home=home, run=run, test_file=test_file, away=folder / "test.arrow")


@pytest.fixture(scope="module")
def honest(place):
    """Two rows, run while the test file was away, then tested, then asked again."""
    arguments = ("table3", *SMALL, "--seeds", "2", "--rows", "GCN,HAN-GNN")
    place.test_file.rename(place.away)
    trained = place.run(*arguments, code=2)
    shutil.copy(place.away, place.test_file)
    tested = place.run(*arguments)
    place.test_file.unlink()
    again = place.run(*arguments, "--output", str(place.home / "out"))
    shutil.copy(place.away, place.test_file)
    return SimpleNamespace(trained=trained, tested=tested, again=again)


@pytest.fixture
def known(place, honest, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    return look_up("table3-shop")


def results_in(folder, name):
    return Results.model_validate_json((folder / f"{name}.json").read_text())


def test_trials_need_no_test_file(honest):
    done = [line for line in honest.trained.out.splitlines() if "finished after epoch 1" in line]
    assert len(done) == 4
    assert sum("trial GCN, seed 20" in line for line in done) == 2
    assert honest.trained.err.count("\n") == 1


def test_test_is_opened_once_and_only_when_all_are_over(place, honest, known):
    assert "nothing to do" in honest.tested.out
    record = json.loads((known.folder.path / "tested.json").read_text())
    (opening,) = record["opened"]
    assert sorted(opening["trials"]) == [0, 1, 2, 3]
    first = results_in(known.folder.path, "table3-shop")
    again = results_in(place.home / "out", "table3-shop")
    assert again.rows == first.rows
    assert again.test_opened == first.test_opened == (opening["at"],)


def test_figures_are_those_of_the_best_models(place, honest, known):
    results = results_in(known.folder.path, "table3-shop")
    dataset = Dataset.open("shop")
    test = open_test(dataset, who="tests", why="the oracle")
    base = Config.from_dict(known.study.trials[0].user_attrs["config"])
    for row in results.rows:
        for seed in row.seeds:
            settings = {"model.aggregator.name": row.settings["model.aggregator.name"]}
            config = base.replace({**settings, "seed": seed.seed})
            (only,) = train(config, dataset, device="cpu")
            expected = ranking_metrics(evaluate(only.model, test, max_history=50))
            assert seed.test == pytest.approx(expected, abs=1e-6)
            for name, value in seed.validation.items():
                assert value == pytest.approx(only.metrics[name], abs=1e-6)


def test_the_table_is_shown(honest):
    text = honest.tested.out
    assert "table3 (graph aggregators) on shop" in text
    assert "mean ± standard deviation of 2 seeds" in text
    assert "test opened 1 time" in text
    assert "TEST-SELECTED" not in text


def test_a_new_row_is_added_and_tested_alone(place, honest, known):
    place.run("table3", *SMALL, "--seeds", "1", "--rows", "HAN-GNN,GAT")
    opened = json.loads((known.folder.path / "tested.json").read_text())["opened"]
    assert [len(opening["trials"]) for opening in opened] == [4, 1]
    results = results_in(known.folder.path, "table3-shop")
    assert [row.label for row in results.rows] == ["GAT", "HAN-GNN"]
    assert len(look_up("table3-shop").study.trials) == 5


def test_other_settings_are_refused(place, honest):
    err = place.run("table3", *SMALL, "--set", "model.width=16", code=2).err
    assert "model.width was 8 and is 16" in err
    assert err.count("\n") == 1


def test_dry_run_writes_nothing(place, honest):
    before = sorted(place.home.rglob("*"))
    out = place.run("table4", *SMALL, "--dry-run").out
    assert "10 of table4 (ablation)" in out
    assert sorted(place.home.rglob("*")) == before


def test_selection_on_test_is_a_study_of_its_own(place, monkeypatch):
    arguments = ("table4", *SMALL, "--seeds", "1", "--rows", "ho,HAN-GNN", "--select-on", "test")
    out = place.run(*arguments).out
    assert "TEST-SELECTED test figures" in out
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    name = "table4-shop-TEST-SELECTED"
    known = look_up(name)
    results = results_in(known.folder.path, name)
    assert results.selection == "TEST-SELECTED"
    for row in results.rows:
        (seed,) = row.seeds
        outcome = known.study.trials[seed.trial].user_attrs["outcome"]
        kept = outcome["best_metrics"]
        assert seed.test == {k.partition("/")[2]: v for k, v in kept.items() if "/" in k}
        assert not [k for k in kept if k.startswith("valid/")]
    for use in (lambda: make_final_plan(known), lambda: export_best(known)):
        with pytest.raises(UserError, match="TEST-SELECTED"):
            use()
    assert "nothing to do" in place.run(*arguments).out

"""Reproductions on Ray, from the command to its files: row by row, each model tested once."""

from __future__ import annotations

import json
import shutil
from functools import partial
from types import SimpleNamespace

import pytest
from safetensors.numpy import load_file

from mmsr.config import METRICS, Config
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
    *("--set", "training.patience=1", "--dataset", "shop", "--epochs", "2"),
]


@pytest.fixture(scope="module")
def place(shop_home, tmp_path_factory, mmsr_here, mmsr_process, ray_here):
    """A home of its own, and the command in it."""
    folder = tmp_path_factory.mktemp("reproduce")
    home = folder / "home"
    for part in ("datasets", "held-out"):
        shutil.copytree(shop_home / part, home / part)

    def run(*arguments, code=0, home=home, start=mmsr_here):
        done = start(home, "reproduce", *arguments)
        assert done.code == code, done.out + done.err
        return done

    return SimpleNamespace(
        home=home, run=run, process=partial(run, start=mmsr_process), output=folder / "tables"
    )


@pytest.fixture(scope="module")
def honest(place):
    """Two rows of two seeds."""
    arguments = ("table3", *SMALL, "--seeds", "2", "--rows", "GCN,HAN-GNN")
    done = place.run(*arguments, "--output", str(place.output))
    return SimpleNamespace(arguments=arguments, out=done.out)


@pytest.fixture
def known(place, honest, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    return look_up("table3-shop")


def results_in(folder, name):
    return Results.model_validate_json((folder / f"{name}.json").read_text())


def of(results, label):
    return next(row for row in results.rows if row.label == label)


def test_a_row_is_tested_when_it_is_complete_and_once(place, honest, known):
    record = json.loads((known.folder.path / "tested.json").read_text())
    trials = [sorted(opening["trials"]) for opening in record["opened"]]
    # The second row may be complete as well before the first one is ranked.
    assert trials in ([[0, 1], [2, 3]], [[0, 1, 2, 3]]), "HAN-GNN is run first"
    results = results_in(place.output, "table3-shop")
    opened = [opening.model_dump(mode="json") for opening in results.test_opened]
    assert opened == record["opened"]
    assert "table3 (graph aggregators) on shop" in honest.out
    assert "TEST-SELECTED" not in honest.out


def test_figures_are_those_of_refits_for_the_chosen_epochs(place, honest, known):
    results = results_in(place.output, "table3-shop")
    dataset = Dataset.open("shop")
    test = open_test(dataset, who="tests", why="the oracle")
    base = Config.from_dict(known.study.trials[0].user_attrs["config"])
    for label in ("GCN", "HAN-GNN"):
        row = of(results, label)
        seed = row.seeds[0]
        name = row.settings["model.aggregator.name"]
        config = base.replace({"model.aggregator.name": name, "seed": seed.seed})
        *_, chosen = train(config, dataset, device="cpu")
        assert (seed.chosen_epoch, seed.epochs) == (chosen.best_epoch, chosen.epoch)
        for metric, value in seed.validation.items():
            assert value == pytest.approx(chosen.best_metrics[metric], abs=1e-6)
        again = config.replace({"training.epochs": chosen.best_epoch})
        *_, refit = train(again, dataset, part="development", device="cpu")
        expected = ranking_metrics(evaluate(refit.model, test, max_history=50))
        assert seed.test == pytest.approx(expected, abs=1e-6)


def test_files_are_enough_to_go_on_without_the_home(place, honest, known):
    before = results_in(place.output, "table3-shop")
    new = place.home.with_name("other")
    for part in ("datasets", "held-out"):
        shutil.copytree(place.home / part, new / part)
    done = place.run(*honest.arguments, "--output", str(place.output), home=new)
    assert "nothing to do" in done.out
    assert results_in(place.output, "table3-shop").rows == before.rows
    assert not (new / "studies" / "table3-shop" / "study.json").exists()


def test_other_rows_with_other_seeds_are_added(place, honest, known):
    arguments = ("table3", *SMALL, "--output", str(place.output))
    place.run(*arguments, "--seeds", "1", "--rows", "GAT,HAN-GNN")
    opened = json.loads((known.folder.path / "tested.json").read_text())["opened"]
    assert [len(opening["trials"]) for opening in opened] in ([2, 2, 1], [4, 1])
    results = results_in(place.output, "table3-shop")
    n_seeds = {row.label: len(row.finished) for row in results.rows if row.seeds}
    assert n_seeds == {"GCN": 2, "GAT": 1, "HAN-GNN": 2}
    assert not of(results, "GCN").comparisons, "two seeds are too few"


def test_other_settings_are_refused(place, honest):
    wider = [word.replace("width=8", "width=16") for word in SMALL]
    arguments = ("table3", *wider, "--output", str(place.output))
    for run, more in ((place.process, []), (place.run, ["--dry-run"])):
        err = run(*arguments, *more, code=2).err
        assert "model.width was 8 and is 16" in err
        assert err.count("\n") == 1
    err = place.run("table3", *wider, code=2).err
    assert "model.width was 8 and is 16" in err, "the study itself refuses them, too"


def test_dry_run_writes_nothing(place, honest):
    before = sorted(place.home.rglob("*"))
    out = place.run("table4", *SMALL, "--output", str(place.output), "--dry-run").out
    assert "10 of table4 (ablation)" in out
    assert "HAN-GNN/2023, HAN-GNN/2024: not run again" in out
    assert sorted(place.home.rglob("*")) == before


def test_selection_on_test_ranks_the_models_of_all_epochs(place, monkeypatch):
    arguments = ("table4", *SMALL, "--seeds", "1", "--rows", "ho", "--select-on", "test")
    assert "TEST-SELECTED test figures" in place.run(*arguments).out
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    name = "table4-shop-TEST-SELECTED"
    known = look_up(name)
    results = results_in(known.folder.path, name)
    assert results.selection == "TEST-SELECTED"
    (seed,) = of(results, "ho").seeds
    assert [name for name in seed.validation if not name.startswith("valid/")] == []
    dataset = Dataset.open("shop")
    test = open_test(dataset, who="tests", why="the oracle")
    config = Config.from_dict(known.study.trials[0].user_attrs["config"])
    longer = config.replace({"training.epochs": seed.chosen_epoch + config.training.patience})
    values = [
        ranking_metrics(evaluate(one.model, test, max_history=50))
        for one in train(longer, dataset, part="development", device="cpu")
    ]
    for metric in METRICS:
        best = max(one[metric] for one in values)
        assert seed.test[metric] == pytest.approx(best, abs=1e-6)
        assert values[seed.best_epochs[metric] - 1][metric] == pytest.approx(best, abs=1e-6)
    means = load_file(known.folder.path / f"{name}.users.safetensors")
    assert means.keys() == {"ho/2023"}
    for use in (lambda: make_final_plan(known), lambda: export_best(known)):
        with pytest.raises(UserError, match="TEST-SELECTED"):
            use()
    assert "nothing to do" in place.run(*arguments).out

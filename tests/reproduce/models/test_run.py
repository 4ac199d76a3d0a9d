"""Table 2 on Ray, from the command to its files: two models searched, refitted, tested once."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest

from mmsr.data import Dataset
from mmsr.data.held_out import open_test
from mmsr.evaluation import evaluate, ranking_metrics
from mmsr.evaluation.reference import measure
from mmsr.reproduce.results import Results
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows
from mmsr.training import train

pytestmark = pytest.mark.slow

SMALL = [
    *("--set", "model.width=8", "--set", "training.batch_size=32", "--dataset", "shop"),
    *("--epochs", "2", "--trials", "2", "--seeds", "1"),
]


@pytest.fixture(scope="module")
def place(shop_home, tmp_path_factory, mmsr_here, ray_here):
    """A home of its own, and the command in it, given once for two models."""
    folder = tmp_path_factory.mktemp("models")
    home = folder / "home"
    for part in ("datasets", "held-out"):
        shutil.copytree(shop_home / part, home / part)

    def run(*arguments):
        done = mmsr_here(home, "reproduce", "table2", *SMALL, *arguments)
        assert done.code == 0, done.out + done.err
        return done.out

    def results():
        file = home / "studies" / "table2-shop" / "table2-shop.json"
        return Results.model_validate_json(file.read_text())

    out = run("--rows", "GRU4Rec,SASRec")
    return SimpleNamespace(home=home, run=run, results=results, out=out)


def test_models_get_the_same_trials_and_their_best_are_tested_once(place, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    known = look_up("table2-shop")
    found = rows(known.study)
    assert sorted(row.model for row in found) == ["gru4rec", "gru4rec", "sasrec", "sasrec"]
    assert all(row.state in ("finished", "pruned") for row in found)
    assert {row.config.model.name for row in found} == {"gru4rec", "sasrec"}
    results = place.results()
    record = json.loads((known.folder.path / "table2" / "tested.json").read_text())
    tested = [trial for opening in record["opened"] for trial in opening["trials"]]
    assert sorted(tested) == [0, 1], "each refit ranks test once"
    dataset = Dataset.open("shop")
    test = open_test(dataset, who="tests", why="the oracle")
    for row in results.rows:
        (seed,) = row.seeds
        best = next(one for one in found if one.number == row.search.trial)
        config = best.config.replace(
            {"seed": seed.seed, "graph.seed": seed.seed, "training.epochs": seed.chosen_epoch}
        )
        *_, refit = train(config, dataset, part="development", device="cpu")
        for seen, figures in (("kept", seed.test), ("masked", seed.test_masked)):
            ranks = evaluate(refit.model, test, max_history=config.graph.max_history, seen=seen)
            assert figures == pytest.approx(ranking_metrics(ranks), abs=1e-6)
    data = (dataset.development(), test, dataset.n_items)
    assert {line.label for line in results.lines} == {"popularity", "item-kNN", "EASE"}
    for line in results.lines:
        for seen, figures in (("kept", line.kept), ("masked", line.masked)):
            assert figures == pytest.approx(measure(line.label, *data, seen=seen), abs=1e-9)
    assert "table2 (models) on shop" in place.out
    assert "mmsr study finalize" not in place.out, "test is opened by this very command"


def test_the_same_command_has_nothing_to_do_and_another_row_is_added(place):
    before = place.results()
    out = place.run("--rows", "GRU4Rec,SASRec")
    assert out.count("nothing to do") == 1
    assert place.results().rows == before.rows
    place.run("--rows", "SR-GNN")
    after = place.results()
    assert [row.label for row in after.rows] == ["GRU4Rec", "SASRec", "SR-GNN"]
    assert [row.seeds for row in after.rows[:2]] == [row.seeds for row in before.rows]
    assert after.rows[2].search.trials == 2
    assert len(after.test_opened) == len(before.test_opened) + 1

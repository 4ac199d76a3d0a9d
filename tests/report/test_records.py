"""`--json` and `--csv`: what a program reads is whole, exact, and alone on stdout."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app, main
from mmsr.cli.output import flattened, write_csv, write_json
from mmsr.cli.views.records import of_leaderboard
from mmsr.errors import UserError
from mmsr.study.views import tables

COMMANDS = (
    "data list",
    "data describe shop",
    "model list",
    "model describe --items 50 --batch-size 2 --set model.width=8",
    "study list",
    "study status small",
    "study leaderboard small",
)


def call(command, *options):
    return CliRunner().invoke(app, [*command.split(), *options])


def read(command):
    done = call(command, "--json")
    assert done.exit_code == 0, done.output + repr(done.exception)
    tree = json.loads(done.stdout, parse_constant=pytest.fail)
    rows = list(csv.DictReader(io.StringIO(call(command, "--csv").stdout)))
    return tree, rows


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_gives_json_and_csv(trained, command):
    tree, rows = read(command)
    assert tree
    assert rows
    assert None not in rows[0], "all rows have as many cells as there are columns"
    both = call(command, "--json", "--csv")
    assert isinstance(both.exception, UserError)
    assert both.stdout == ""


def test_numbers_are_not_rounded(trained):
    best, _ = trained.best()
    tree, rows = read("study leaderboard small")
    assert tree["trials"][0]["value"] == best.value
    assert tree["trials"][0]["metrics"] == best.metrics
    assert tree["trials"][0]["settings"] == best.settings
    assert float(rows[0]["value"]) == best.value
    assert float(rows[0]["valid/mrr@20"]) == best.metrics["valid/mrr@20"]
    assert float(rows[0]["training.learning_rate"]) == best.settings["training.learning_rate"]
    assert {line["name"] for line in tree["references"]} == {"popularity", "item-kNN", "EASE"}
    (line,), _ = read("study list")
    assert line == {
        "name": "small",
        "dataset": "shop",
        "objective": "valid/mrr@20",
        "state": "finished",
        "done": 3,
        "wanted": 3,
        "best": best.value,
    }


def test_status_has_each_trial(trained):
    tree, rows = read("study status small")
    assert (tree["state"], tree["done"], tree["wanted"]) == ("finished", 3, 3)
    assert [trial["trial"] for trial in tree["trials"]] == [0, 1, 2]
    assert [int(row["trial"]) for row in rows] == [0, 1, 2]
    assert [trial["value"] for trial in tree["trials"]] == [r.value for r in trained.rows(range(3))]
    newest, _ = read("study status small --last 1")
    assert [trial["trial"] for trial in newest["trials"]] == [2]


def test_a_data_set_has_its_counts_and_modalities(trained):
    dataset = trained.open_dataset()
    (line,), _ = read("data list")
    assert (line["users"], line["items"]) == (dataset.manifest.counts.users, dataset.n_items)
    tree, rows = read("data describe shop")
    assert tree["counts"]["interactions"] == line["interactions"]
    assert list(tree["modalities"]) == line["modalities"]
    by_key = {row["key"]: row["value"] for row in rows}
    assert int(by_key["counts.users"]) == line["users"]
    assert int(by_key["modalities.text.width"]) == tree["modalities"]["text"]["width"]


def test_parts_of_a_model_add_up(trained):
    tree, rows = read(COMMANDS[3])
    assert sum(int(row["parameters"]) for row in rows) == tree["total"]["parameters"] > 0


def test_a_home_without_anything_gives_empty_lists(home):
    for command in ("data list", "study list"):
        assert json.loads(call(command, "--json").stdout) == []
        assert call(command, "--csv").stdout.startswith("name,")


def test_a_study_without_a_finished_trial_has_an_empty_leaderboard(made_up):
    made_up(["ValueError: no"])
    tree = json.loads(call("study leaderboard made-up", "--json").stdout)
    assert (tree["trials"], tree["references"]) == ([], [])
    status = json.loads(call("study status made-up", "--json").stdout)
    assert status["trials"][0]["error"] == "ValueError: no"
    assert status["best"] is None


def test_trees_become_records_with_dotted_keys():
    tree = {"a": 1, "b": {"c": [1, 2], "d": [{"e": None}]}}
    found = {one["key"]: one["value"] for one in flattened(tree)}
    assert found == {"a": 1, "b.c": [1, 2], "b.d.0.e": None}


def test_what_is_no_number_is_null_and_texts_are_as_they_are(made_up, monkeypatch):
    error = f"ValueError: [red]x[/red], :smile:, {'long ' * 40}end"
    made_up([0.2, error], more={"valid/ndcg@10": float("nan"), "time/train_seconds": float("inf")})
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    board, places = read("study leaderboard made-up")
    assert board["trials"][0]["metrics"]["valid/ndcg@10"] is None
    assert board["trials"][0]["metrics"]["time/train_seconds"] is None
    assert (places[0]["valid/ndcg@10"], places[0]["value"]) == ("", "0.2")
    status, rows = read("study status made-up")
    assert status["trials"][1]["error"] == rows[1]["error"] == error
    assert status["trials"][1]["value"] is None
    for command in ("study status made-up", "study leaderboard made-up"):
        assert "\x1b" not in call(command, "--json").stdout + call(command, "--csv").stdout


@pytest.mark.parametrize("command", ["study status", "study leaderboard", "data describe"])
@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_what_is_not_there_is_refused_with_nothing_on_stdout(
    home, command, form, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["mmsr", *command.split(), "nope", form])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert told.out == ""
    assert told.err.count("\n") == 1


def test_numbers_of_numpy_are_numbers(capsys):
    tree = {"a": np.int64(3), "b": np.float32(0.5), "c": np.float64("nan"), "d": [{"x": 1}, None]}
    write_json(tree)
    assert json.loads(capsys.readouterr().out) == {
        "a": 3,
        "b": 0.5,
        "c": None,
        "d": [{"x": 1}, None],
    }
    write_csv([tree])
    assert capsys.readouterr().out.splitlines() == ["a,b,c,d", '3,0.5,,"{""x"": 1};"']


def test_a_trial_that_was_stopped_early_has_no_place_and_one_name(made_up, monkeypatch):
    known = made_up([0.2, 0.1])
    found = known.rows([0, 1])
    found[1] = dataclasses.replace(found[1], state="pruned")
    trials = of_leaderboard(known, found, [])["trials"]
    assert [one["place"] for one in trials] == [1, None]
    monkeypatch.setattr(tables, "state_of", lambda row, running: "pruned")
    shown = call("study status made-up").stdout
    assert "pruned" not in shown
    assert shown.count("stopped early") == 3, "in the summary and for each trial"

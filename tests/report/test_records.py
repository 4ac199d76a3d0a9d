"""`--json` and `--csv`: what a program reads is whole, exact, and alone on stdout."""

from __future__ import annotations

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.cli.output import flattened
from mmsr.errors import UserError

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

"""Speed beside other libraries: what these are given, what is made of their answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ANSWERS = """
import json, sys
given = json.loads(sys.argv[1])
print(json.dumps({"examples": 40, "threads": given["threads"]}), flush=True)
for seconds, line in enumerate(sys.stdin, start=1):
    answer = {"seconds": seconds, "cpu_seconds": seconds / 2, "examples": 10}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def baselines(load):
    return load("baselines")


@pytest.fixture
def runs(load):
    return load("baseline_runs")


@pytest.fixture
def start(runs, tmp_path):
    """Starts a script in place of another library's."""

    def started(source):
        script = tmp_path / "script.py"
        script.write_text(source)
        return runs.Other(Path(sys.executable), script, {"threads": 3}, tmp_path)

    return started


def test_others_are_given_the_training_part_and_nothing_else(baselines, shop):
    table = baselines.interactions(shop)
    given = dict(iter(table.groupby("user_id:token")))
    valid, found = shop.valid(), 0
    first = np.unique(valid.users, return_index=True)[1]
    for user, start, end in zip(
        valid.users[first], valid.starts[first], valid.targets[first], strict=True
    ):
        if end - start < 2:  # no target
            assert user not in given
            continue
        rows = given[user].sort_values("timestamp:float")
        assert rows["item_id:token"].tolist() == valid.items[start:end].tolist()
        found += 1
    assert found > 10
    assert baselines.targets_of("recbole", table) == len(shop.train())


def test_rectools_trains_the_latest_targets_only(baselines):
    lengths = {1: 2, 2: baselines.HISTORY + 1, 3: baselines.HISTORY + 30}
    users = np.repeat(list(lengths), list(lengths.values()))
    table = pd.DataFrame({"user_id:token": users})
    assert baselines.targets_of("recbole", table) == sum(lengths.values()) - 3
    assert baselines.targets_of("rectools", table) == 1 + 2 * baselines.HISTORY


def test_a_speedup_is_the_median_of_the_rounds_ratios(baselines, runs):
    ours, theirs = (
        [runs.Seconds(wall, wall * share) for wall in walls]
        for walls, share in (((2.0, 1.0, 4.0), 0.5), ((20.0, 30.0, 4.0), 1.0))
    )
    figures = baselines.Turns(ours, theirs).figures("x")
    assert figures == {
        "speedup_x": 10,
        "speedup_x_least": 1,
        "speedup_x_most": 30,
        "cpu_speedup_x": 20,
        "seconds_x_ours": 2,
        "seconds_x_theirs": 20,
    }


@pytest.mark.parametrize("ours_first", [True, False])
def test_sides_take_turns(baselines, ours_first):
    calls, turns = [], baselines.Turns()
    sides = {side: lambda side=side: calls.append(side) or side for side in ("ours", "theirs")}
    turns.take(sides, ours_first)
    assert calls == (["ours", "theirs"] if ours_first else ["theirs", "ours"])
    assert (turns.ours, turns.theirs) == (["ours"], ["theirs"])


def test_a_share_of_an_epoch_is_scaled_up(start):
    with start(ANSWERS) as other:
        assert other.about == {"examples": 40, "threads": 3}
        assert other.epoch() == (4, 2)
        assert other.epoch() == (8, 4)


def test_what_ends_the_other_side_is_shown(start):
    ended = start("raise SystemExit('out of paper')")
    with ended as other, pytest.raises(RuntimeError, match="out of paper"):
        _ = other.about


@pytest.mark.parametrize("key", ["version", "torch", "targets", "threads"])
def test_another_training_than_expected_is_refused(baselines, runs, key):
    about = {
        "version": runs.VERSIONS["recbole"],
        "torch": baselines.torch.__version__,
        "targets": 7,
        "threads": 1,
    }
    baselines.check("recbole_sasrec", about, targets=7, threads=1)
    with pytest.raises(SystemExit, match="recbole_sasrec: expected"):
        baselines.check("recbole_sasrec", {**about, key: "other"}, targets=7, threads=1)


def test_an_environment_is_made_once_and_again_if_it_is_not_whole(runs, tmp_path, monkeypatch):
    commands = []

    def run(command, check):
        assert check
        (tmp_path / "recbole").mkdir(exist_ok=True)
        commands.append([str(word) for word in command])

    monkeypatch.setattr(runs.subprocess, "run", run)
    python = runs.environment("recbole", tmp_path)
    needs = (tmp_path / "recbole" / "requirements.txt").read_text().splitlines()
    assert {f"recbole=={runs.VERSIONS['recbole']}", runs.torch_pin().strip()} <= set(needs)
    assert [command[2] for command in commands] == ["venv", "pip"]
    assert runs.environment("recbole", tmp_path) == python
    assert len(commands) == 2
    (tmp_path / "recbole" / "installed").unlink()
    assert runs.environment("recbole", tmp_path) == python
    assert len(commands) == 4


def test_our_epochs_train_what_the_pair_says(baselines, shop):
    pair = baselines.PAIRS["rectools_sasrec_sampled"]
    ours = baselines.Ours(pair, shop, epochs=2, threads=1)
    for _ in range(2):
        seconds = ours.epoch()
        assert seconds.wall > 0
        assert seconds.cpu > 0
    with pytest.raises(StopIteration):
        ours.epoch()


@pytest.mark.parametrize(
    "words", [["--threads", "0"], ["--rounds", "0"], ["--share", "0"], ["--share", "1.5"]]
)
def test_options_out_of_range_are_refused(baselines, monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["baselines.py", *words])
    with pytest.raises(SystemExit) as ended:
        baselines.parsed()
    assert ended.value.code == 2
    assert " ".join(words) in capsys.readouterr().err


def test_both_sides_of_a_pair_have_one_size(baselines):
    """Width, layers, heads and loss, by the names that each side has for them."""
    names = {
        "model.width": ("hidden_size", "embedding_size", "inner_size", "n_factors"),
        "model.layers": ("n_layers", "num_layers", "n_blocks"),
        "model.heads": ("n_heads",),
        "training.loss.negatives": ("n_negatives",),
    }
    for pair in baselines.PAIRS.values():
        ours = {**baselines.SHARED, **pair.ours}
        compared = {
            key: ours[key] for key, theirs in names.items() if set(theirs) & pair.theirs.keys()
        }
        assert compared.keys() >= {"model.width", "model.layers"}
        for key, value in compared.items():
            for name in set(names[key]) & pair.theirs.keys():
                assert pair.theirs[name] == value, json.dumps({key: name})

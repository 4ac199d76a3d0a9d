"""Side by side: differences are those of the configs, and tests pair users of the same targets."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.config import Config
from mmsr.console import Console
from mmsr.data import Prefixes
from mmsr.errors import UserError
from mmsr.evaluation import contributions
from mmsr.evaluation.significance import paired_wilcoxon, per_user_means
from mmsr.report.intervals import ValidRanks
from mmsr.report.side_by_side.contenders import Contender
from mmsr.report.side_by_side.pairs import TEST, VALID, side_by_side
from mmsr.report.side_by_side.view import show
from mmsr.study.results.comparison import SeedComparison
from mmsr.study.results.finalized import ConfigFigures
from mmsr.study.results.held_out import Ranked

USERS = np.repeat(np.arange(40, dtype=np.int32), 2)
TARGETS = Prefixes(
    items=np.arange(200, dtype=np.int32),
    starts=np.zeros(80, dtype=np.int64),
    targets=np.arange(1, 81),
    users=USERS,
)


def contender(name, seed, *, seeds=0, worse=1, **changes):
    rng = np.random.default_rng(seed)
    final = ConfigFigures(
        trial=0, epochs=1, config={}, validation={}, seeds=(), mean={"test/mrr@20": 0.1}, std={}
    )
    made = Contender(
        name=name,
        origin="made up",
        dataset="shop",
        dataset_hash="a" * 64,
        protocol="ratio",
        objective="valid/ndcg@10",
        config=Config(dataset="shop"),
        epoch=1,
        valid={"ndcg@10": 0.2},
        ranks=ValidRanks(rng.integers(1, 20, 80) * worse, USERS),
        targets=TARGETS,
        lacking="",
        final=final if seeds else None,
        kwh=None,
        study_kwh=None,
        tested=tuple(Ranked(rng.integers(1, 20, 80) * worse, USERS) for _ in range(seeds)),
    )
    return dataclasses.replace(made, **changes)


def test_pairs_are_tested_over_users():
    a, b = contender("a", 0), contender("b", 1, worse=3)
    found = side_by_side([a, b])
    assert found.metrics[0] == "ndcg@10", "the objective's comes first"
    for pair in found.pairs:
        first, second = (
            per_user_means(contributions(one.ranks.ranks)[pair.metric], USERS) for one in (a, b)
        )
        assert pair.part == VALID
        assert pair.found.p == pytest.approx(paired_wilcoxon(first, second))
        assert pair.found.difference == pytest.approx((first - second).mean())
    assert found.pairs[0].found.significant
    assert found.not_paired == (
        "no paired test of a and b on test: a has no test figures (`mmsr study finalize` brings "
        "them)",
    )


def test_settings_that_differ_are_shown_for_all():
    other = Config(dataset="elsewhere").replace({"model.width": 16})
    named = Config(dataset="shop").replace({"model": {"name": "sasrec"}})
    found = side_by_side(
        [contender("a", 0), contender("b", 1, config=other), contender("c", 2, config=named)]
    )
    differences = found.differences()
    width = Config(dataset="shop").model.width
    assert differences["model.width"][:2] == (width, 16)
    assert differences["model.name"] == ("mmsr", "mmsr", "sasrec")
    assert differences["model.fusion"][2] is None, "SASRec has none"
    assert "dataset" not in differences
    assert "training.epochs" not in differences


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {
                "dataset_hash": "b" * 64,
                "targets": dataclasses.replace(TARGETS, targets=TARGETS.targets + 1),
            },
            "their targets differ (data sets shop (ratio, aaaaaaaaaaaa) and shop (ratio, bbbbb",
        ),
        ({"ranks": None, "lacking": "its model is gone"}, "on validation: b: its model is gone"),
        (
            {"config": Config(dataset="shop").replace({"training.seen": "masked"})},
            "they rank different items (training.seen is kept and masked)",
        ),
    ],
)
def test_what_cannot_be_paired_is_said(changes, why):
    found = side_by_side([contender("a", 0), contender("b", 1, **changes)])
    assert found.pairs == ()
    assert any(why in reason for reason in found.not_paired), found.not_paired


def test_the_same_targets_of_another_data_set_are_paired():
    found = side_by_side([contender("a", 0), contender("b", 1, dataset_hash="b" * 64)])
    assert {pair.part for pair in found.pairs} == {VALID}


@pytest.mark.parametrize(("seeds", "over_seeds"), [(2, False), (3, True)])
def test_test_is_compared_over_seeds_where_there_are_enough(seeds, over_seeds):
    found = side_by_side([contender("a", 0, seeds=seeds), contender("b", 1, seeds=seeds)])
    kinds = {isinstance(pair.found, SeedComparison) for pair in found.pairs if pair.part == TEST}
    assert kinds == {over_seeds}
    assert found.not_paired == ()


def test_test_ranks_that_are_elsewhere_are_missed():
    found = side_by_side([contender("a", 0, seeds=2), contender("b", 1, seeds=2, tested=())])
    assert found.not_paired == (
        "no paired test of a and b on test: the test ranks of b are not on this machine",
    )


def test_energy_has_rows_where_it_was_measured():
    def shown(*contenders):
        lines = io.StringIO()
        show(side_by_side(contenders), Console(file=lines, width=200))
        return [line.split() for line in lines.getvalue().splitlines() if "kWh" in line]

    first, second = contender("a", 0, kwh=0.25, study_kwh=4.0), contender("b", 1)
    training, study = shown(first, second)
    assert "0.25" in training
    assert "4" in study
    assert shown(second, contender("c", 2)) == []


def call(*words):
    return CliRunner().invoke(app, ["study", "compare", *words])


def test_trials_of_a_study_side_by_side(trained, tmp_path):
    done = call("small:0", "small:1", "--json")
    assert done.exit_code == 0, done.output + repr(done.exception)
    tree = json.loads(done.stdout)
    for one, row in zip(tree["contenders"], trained.rows([0, 1]), strict=True):
        assert one["valid"]["mrr@20"] == row.value
        assert one["test"] is None
    assert set(tree["differences"]["training.learning_rate"]) == {"small:0", "small:1"}
    assert {pair["metric"] for pair in tree["pairs"]} == {"mrr@20", "hr@5", "mrr@5", "hr@20"}
    shown = call("small", "small:0")
    assert shown.exit_code == 0, shown.output
    assert "settings differ" in shown.output
    assert "validation: differences in points" in shown.output
    rows = call("small:0", "small:1", "--csv").stdout.splitlines()
    assert rows[0].startswith("first,second,part,metric,difference,low,high,p,p_corrected")
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("small",), "small alone: name two or more"),
        (("small", "small"), "small is named twice"),
        (("small", "nope"), "unknown study 'nope'"),
        (("small", "small:77"), "small:77: study 'small' has no finished trial of this number"),
        (("small", "small:sasrec"), "small:sasrec: the study has one model, mmsr"),
        (("small", "best.yaml"), "'best.yaml' is a file: train it"),
        (("small", "small:0", "--json", "--csv"), "give one of them"),
    ],
)
def test_what_cannot_be_compared_is_refused(trained, words, told):
    done = call(*words)
    assert isinstance(done.exception, UserError)
    assert told in str(done.exception)
    assert done.stdout == ""

"""What a report claims is so: which model was ranked, whose figures they are, what was opened."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.evaluation import ranking_metrics
from mmsr.evaluation.knockouts import KnockedOut, Knockouts
from mmsr.report import importance, intervals, make, write
from mmsr.report.blocks import Page, Table, Text
from mmsr.report.facts import gather
from mmsr.report.intervals import Measured, ValidRanks, valid_ranks
from mmsr.report.sections import models, scores
from mmsr.report.sections.settings import codes_map
from mmsr.report.side_by_side.contenders import contender
from mmsr.study import Float, Int
from mmsr.study.results import measured_model
from mmsr.study.results.held_out import Opening
from mmsr.study.results.knockouts import TrialKnockouts
from mmsr.study.results.rank_cache import KeptRanks
from mmsr.study.storage.progress import set_ending, set_target
from mmsr.tracking.base import RunState
from mmsr.training import read_checkpoint_state, train

PAGE = Page("a report", (), (), "")
TINY = {
    "model.width": 8,
    "graph.n_codes": 4,
    "graph.missing.rate": 0.6,
    "training.epochs": 1,
    "training.batch_size": 32,
    "training.learning_rate": 0.05,
}


def told(section):
    return " ".join(block.text for block in section.blocks if isinstance(block, Text))


def test_a_report_that_is_named_was_written(made_up, monkeypatch):
    known = made_up([0.1])

    def refuse(known):
        raise UserError("no journal")

    monkeypatch.setattr(write, "check_journal", refuse)
    folder = known.folder.path / write.FOLDER
    folder.mkdir()
    for name in write.NAMES:
        (folder / name).write_text("an earlier one")
    done = write.write(PAGE, known, None)
    assert done.not_attached == "no journal"
    assert ["a report" in file.read_text() for file in done.files] == [True, True]


def test_a_file_beside_the_page_stays(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match=r"README\.md would be written too"):
        write.check_output(tmp_path / "README.html")
    (tmp_path / "README.html").write_text("an earlier page")
    write.check_output(tmp_path / "README.html")


@pytest.fixture
def lossy(shop, tmp_path):
    """The checkpoint of a model whose items lost modalities in training, and its score."""
    config = Config(dataset="shop").replace(TINY)
    (result,) = train(config, shop)
    result.save_checkpoint(tmp_path / "run")
    return tmp_path / "run", config, result.metrics["valid/mrr@20"]


def test_the_model_that_was_scored_is_ranked(lossy, shop, tmp_path, monkeypatch):
    folder, config, score = lossy
    assert read_checkpoint_state(folder).best_epoch == 1
    assert contender(str(folder)).valid["mrr@20"] == pytest.approx(score, abs=1e-6)
    subject = measured_model.find_subject(str(folder))
    known = SimpleNamespace(
        definition=SimpleNamespace(test_selected=False),
        folder=SimpleNamespace(path=tmp_path, ray=tmp_path),
    )
    monkeypatch.setattr(measured_model, "of_trial", lambda *given: subject)
    row = SimpleNamespace(number=0, config=config)
    for _ in range(2):  # computed, and cached
        own = valid_ranks(known, [row]).ranks[0]
        assert ranking_metrics(own.ranks)["mrr@20"] == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), FloatingPointError("nan")])
def test_a_model_that_cannot_rank_is_a_reason(error, trained, monkeypatch):
    def fail(*given):
        raise error

    monkeypatch.setattr(intervals, "_ranks", fail)
    found = gather(trained).measured
    assert found.ranks == {}
    assert all(str(error) in why for why in found.lacking.values())


def test_ranks_that_cannot_be_kept_are_used(tmp_path):
    (tmp_path / "file").touch()
    kept = KeptRanks(tmp_path / "file", "model")
    assert kept.get("what", lambda: np.arange(3), must_keep=False).tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="cannot write"):
        kept.get("what", lambda: np.arange(3))


def test_a_bootstrap_serves_all_metrics(monkeypatch):
    from mmsr.evaluation import significance

    calls, own = [], significance.bootstrap_interval
    monkeypatch.setattr(
        significance, "bootstrap_interval", lambda *a, **b: calls.append(b) or own(*a, **b)
    )
    monkeypatch.setattr(intervals, "_DRAWS", 10_000)
    found = ValidRanks(np.random.default_rng(0).integers(1, 40, 20), np.arange(20))
    assert found.interval("mrr@20") != found.interval("hr@5")
    assert calls == [{"n_resamples": 500}]


def test_fanova_needs_scores_that_differ(monkeypatch):
    import optuna

    monkeypatch.setattr(importance, "_drawn", lambda trials: trials[:5])
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    trials = [
        optuna.trial.create_trial(
            params={"x": i / 20}, distributions=space, value=0.5 if i < 10 else i / 20
        )
        for i in range(20)
    ]
    (found,) = importance.importances(trials, ())
    assert found.ped_anova
    assert found.fanova == {}


def test_rounding_makes_no_values():
    trials = [SimpleNamespace(params={"x": value}) for value in (0.1 + 0.2, 0.3)]
    assert len(importance._values(trials, "x")) == 1


def ranks_of(seed, scale):
    rng = np.random.default_rng(seed)
    return ValidRanks(np.maximum(rng.integers(1, 9, 200) * scale, 1), np.arange(200))


def test_better_is_said_of_trials_that_are_worse(made_up):
    facts = gather(made_up([0.3, 0.2, 0.1]), intervals=0)
    ranks = {0: ranks_of(0, 2), 1: ranks_of(1, 1), 2: ranks_of(2, 4)}
    facts = dataclasses.replace(facts, measured=Measured(ranks, {}))
    beaten, alike = make._against_second(facts)
    assert beaten.startswith("Better than trial 2 on validation")
    assert "chosen on these targets" in beaten
    assert alike.startswith("Not shown to be better than trial 1 (")


def test_every_opening_of_test_is_told(made_up):
    known = made_up([0.1])
    assert "Test is closed" in told(models.finals(gather(known)))
    opened = [Opening(at=f"2026-01-0{day}", trials=(0,)).model_dump(mode="json") for day in (2, 3)]
    known.study.set_user_attr("test_opened", opened)
    text = told(models.finals(gather(known)))
    assert "Test was opened 2 times, first on 2026-01-02" in text
    assert "closed" not in text


def test_models_without_codes_are_not_on_the_map(made_up):
    known = made_up(
        [0.1, 0.2, 0.3, 0.4],
        space=None,
        enqueue=None,
        base={},
        models={
            "mmsr": {"graph.n_codes": Int(4, 8), "graph.links_per_item": Int(1, 2)},
            "sasrec": {"training.learning_rate": Float(1e-3, 1e-1, log=True)},
        },
    )
    facts = gather(known)
    (table,) = [b for b in codes_map(facts).blocks if isinstance(b, Table)]
    own = sum(row.model == "mmsr" for row in facts.rows)
    assert 0 < own < 4
    assert sum(int(row[3]) for row in table.rows) == own


def test_knock_outs_name_their_trial_and_the_best_ones_come_first(made_up):
    known = made_up([0.1, 0.2])
    one = KnockedOut(
        kind="shuffled",
        modality="image",
        label="a",
        metrics={"mrr@20": 0.1},
        cost=0.5,
        low=0.4,
        high=0.6,
    )
    found = Knockouts(metric="mrr@20", clean={"mrr@20": 0.2}, modalities=("image",), results=(one,))
    facts = gather(known)
    results = SimpleNamespace(part="valid", knockouts=found, trial=1)
    kept = TrialKnockouts(trial=0, dataset_hash="", knockouts=found)
    old = dataclasses.replace(facts, knockouts=kept)
    assert "The model of trial 0" in told(models.modalities(old))
    assert "The best trial is now 1" in told(models.modalities(old))
    assert any("of trial 0 on validation falls" in line for line in make._answers(old, []))
    new = dataclasses.replace(old, robustness=(results,))
    assert new.worth.trial == 1
    new = dataclasses.replace(
        facts,
        knockouts=TrialKnockouts(trial=1, dataset_hash="", knockouts=found),
        robustness=(SimpleNamespace(part="valid", knockouts=found, trial=0),),
    )
    assert new.worth.trial == 1


def test_a_trial_that_began_meanwhile_has_no_curve_yet(made_up):
    facts = dataclasses.replace(gather(made_up([0.1], running=1)), curves={})
    assert "No epoch has been reported" in told(scores.curves(facts))


def test_intervals_say_which_trials_lack_one(made_up):
    facts = gather(made_up([0.1, 0.2]), intervals=0)
    assert "none was asked for" in scores._about_intervals(facts)
    some = dataclasses.replace(facts, measured=Measured({1: ranks_of(0, 1)}, {0: "it is gone"}))
    text = scores._about_intervals(some)
    assert "Intervals, of 1 trial:" in text
    assert "Without one: trial 0: it is gone." in text
    assert "none was asked for" not in scores._about_intervals(gather(made_up(["bad"], "none")))


def test_how_a_study_ended_is_said(made_up):
    known = made_up([0.1, 0.2])
    assert gather(known).state == "finished"
    set_target(known.study, 4)
    assert gather(known).state == "interrupted"
    set_ending(known.study, RunState.FAILED, "the disk is full")
    assert gather(known).state == "failed (the disk is full)"
    assert gather(made_up(name="new")).state == "not begun"


def test_csv_without_pairs_has_all_columns_and_reasons(trained, monkeypatch):
    def fail(*given):
        raise RuntimeError("no memory")

    monkeypatch.setattr(intervals, "_ranks", fail)
    done = CliRunner().invoke(app, ["study", "compare", "small:0", "small:1", "--csv"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "first,second,part,metric,difference,low,high,p,p_corrected,test"
    ]
    assert "no memory" in done.stderr


def test_ranks_that_are_kept_leave_the_draft_of_another_process(tmp_path, monkeypatch):
    moved = Path.replace

    def replace(draft, path):
        moved(draft, path)
        draft.write_bytes(b"another's")

    monkeypatch.setattr(Path, "replace", replace)
    KeptRanks(tmp_path, "model").get("nothing", lambda: np.arange(3))
    assert [one.read_bytes() for one in tmp_path.glob("*.draft")] == [b"another's"]

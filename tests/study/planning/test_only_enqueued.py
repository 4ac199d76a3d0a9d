"""Studies that run what is enqueued and nothing else, in memory and without Ray."""

from __future__ import annotations

import dataclasses

import optuna
import pytest
from optuna.trial import TrialState

from mmsr.config import Config
from mmsr.study import Choice, Int, Tpe
from mmsr.study.driver.ledger import SAME_FAILURES, Ledger
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.planning.rules import Rules
from mmsr.study.storage.progress import add_missing, counted, n_over
from mmsr.study.storage.trials import rows
from mmsr.study.workers.messages import Failure, Report

optuna.logging.set_verbosity(optuna.logging.ERROR)
OBJECTIVE = "valid/mrr@20"
SPACE = {"model.aggregator.name": Choice("dual_attention", "gcn"), "seed": Int(0, 1000)}
ONE, TWO, THREE = (
    {"model.aggregator.name": name, "seed": seed}
    for name, seed in (("gcn", 1), ("dual_attention", 1), ("gcn", 2))
)


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize", sampler=Tpe(3).build(0, 0))


@pytest.fixture
def asked(study, tmp_path):
    """A driver that asks for some settings alone, as the runner makes one."""

    def make(*only):
        rules = Rules(SPACE, Config(dataset="shop"), OBJECTIVE, only=only)
        ledger = Ledger(study, rules, tmp_path)
        ledger.reclaim()
        return ledger, add_missing(study, only)

    return make


def finish(ledger, runner_id):
    metrics = {OBJECTIVE: 0.1}
    report = Report(epoch=1, metrics=metrics, best_epoch=1, best_metrics=metrics, finished=True)
    assert ledger.report(runner_id, report)


def test_what_is_enqueued_is_run_in_its_order(study, asked):
    ledger, trials = asked(ONE, TWO)
    assert trials == 2
    for runner, settings in (("a", ONE), ("b", TWO)):
        assert ledger.ask(runner).settings == settings
        finish(ledger, runner)
    assert n_over(study, [ONE, TWO]) == n_over(study, None) == 2


def test_new_settings_are_added_and_old_ones_stay(study, asked):
    ledger, _ = asked(ONE)
    ledger.ask("a")
    finish(ledger, "a")
    ledger, trials = asked(ONE, TWO)
    assert trials == 2
    assert n_over(study, [ONE, TWO]) == 1
    assert ledger.ask("b").settings == TWO
    _, trials = asked(ONE, TWO)
    assert trials == 2


def test_what_is_not_asked_for_now_is_left_alone_and_can_be_asked_for_later(study, asked):
    asked(ONE, TWO)
    ledger, trials = asked(THREE)
    assert trials == 3
    assert ledger.ask("a").settings == THREE
    finish(ledger, "a")
    assert (n_over(study, [THREE]), n_over(study, [ONE, TWO])) == (1, 0)
    assert [row.state for row in rows(study)] == ["finished"]
    ledger, trials = asked(ONE, TWO, THREE)
    assert trials == 3
    assert [ledger.ask(runner).settings for runner in "bc"] == [ONE, TWO]


def test_an_interrupted_trial_keeps_its_place_while_it_is_not_asked_for(study, asked, tmp_path):
    ledger, _ = asked(ONE)
    config = ledger.ask("a").config
    metrics = {OBJECTIVE: 0.3}
    report = Report(epoch=1, metrics=metrics, best_epoch=1, best_metrics=metrics, finished=False)
    ledger.report("a", report)
    folder = tmp_path / "trial-00000" / "checkpoint_000000"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(report.model_dump_json())
    ledger.release()
    other, _ = asked(TWO)
    assert other.ask("b").settings == TWO
    finish(other, "b")
    again, _ = asked(ONE, TWO)
    proposal = again.ask("c")
    assert (proposal.settings, proposal.config) == (ONE, config)
    assert (proposal.checkpoint, proposal.curve) == (folder, {1: 0.3})


def test_a_trial_that_died_before_its_settings_were_drawn_is_not_run_at_random(study, asked):
    asked(ONE)
    study.ask()
    ledger, _ = asked(ONE)
    assert ledger.ask("a").settings == ONE


def test_trials_that_failed_alike_are_over_no_more(study, asked):
    settings = [{**ONE, "seed": seed} for seed in range(SAME_FAILURES)]
    ledger, _ = asked(*settings)
    for runner in map(str, range(SAME_FAILURES)):
        ledger.ask(runner)
        ledger.fail(runner, Failure(error="no disk", traceback=""))
    assert ledger.fatal_error == "no disk"
    assert n_over(study, settings) == 0
    assert counted(study) == []
    ledger, _ = asked(*settings)
    assert ledger.ask("again").settings == settings[0]
    assert study.trials[-1].state == TrialState.WAITING


def test_the_number_of_trials_is_that_of_the_settings(small_study, study_home):
    study = dataclasses.replace(small_study, only_enqueued=True)
    plan = make_plan(study, Options())
    assert (plan.trials, plan.only) == (1, plan.known)
    assert make_plan(small_study, Options()).only is None

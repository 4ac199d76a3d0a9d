"""The adapters between Ray Tune and the ledger, called as Tune calls them."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from mmsr.config import Config
from mmsr.study import Int
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.tune import (
    WORKER_DEATHS,
    StopWhenAsked,
    StudyCallback,
    StudyScheduler,
    StudySearch,
    tune_trials,
)
from mmsr.study.planning.rules import Rules
from mmsr.study.workers.messages import Failure, Report, Task
from mmsr.study.workers.resources import Resources

OBJECTIVE = "valid/mrr@20"


@pytest.fixture
def tune(tmp_path):
    """A study with its ledger and adapters, of which two trials fit at once."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    rules = Rules({"model.width": Int(1, 900)}, Config(dataset="shop"), OBJECTIVE)
    ledger = Ledger(study, rules, tmp_path / "trials")

    def task(proposal):
        return Task(
            number=proposal.number,
            config=proposal.config.to_dict(),
            dataset_hash="",
            device="cpu",
            home="",
            trainer="",
        )

    nodes = SimpleNamespace(lost=False)
    return SimpleNamespace(
        study=study,
        ledger=ledger,
        search=StudySearch(ledger, task, lambda: 2),
        scheduler=StudyScheduler(ledger),
        stop=StopWhenAsked(ledger),
        callback=StudyCallback(ledger, lambda: nodes.lost),
        nodes=nodes,
        error_file=tmp_path / "error.txt",
    )


def reported(epoch, value, *, finished=False):
    metrics = {OBJECTIVE: value}
    report = Report(
        epoch=epoch, metrics=metrics, best_epoch=epoch, best_metrics=metrics, finished=finished
    )
    return {"report": report.model_dump_json()}


def trial(name, error_file=None):
    return SimpleNamespace(trial_id=name, error_file=error_file, num_failures=0, max_failures=2)


def test_no_more_trials_are_proposed_than_fit(tune):
    assert tune.search.suggest("a")["number"] == 0
    assert tune.search.suggest("b")["number"] == 1
    assert tune.search.suggest("c") is None
    decision = tune.scheduler.on_trial_result(None, trial("a"), reported(1, 0.5, finished=True))
    assert decision == TrialScheduler.STOP
    assert tune.search.suggest("c")["number"] == 2
    assert not tune.stop.stop_all()


def test_a_worker_that_died_too_often_is_told_with_the_reason(tune):
    tune.search.suggest("a")
    for reason in ("first", "second"):
        with tune.error_file.open("a") as file:
            file.write(f"Failure # 1\n{reason} reason\nmore words\n")
        tune.scheduler.on_trial_error(None, trial("a", tune.error_file))
    tune.search.on_trial_complete("a", error=True)
    assert tune.study.trials[0].state == TrialState.FAIL
    outcome = tune.study.trials[0].user_attrs["outcome"]
    assert outcome["error"] == "worker died 2 times: second reason"


def test_deaths_count_since_the_newest_epoch(tune):
    tune.search.suggest("a")
    one = trial("a", tune.error_file)
    tune.error_file.write_text("Failure # 1\nfirst reason\n")
    for epoch in (1, 2, 3):
        one.num_failures += 1
        tune.scheduler.on_trial_error(None, one)
        tune.scheduler.on_trial_result(None, one, reported(epoch, 0.5))
        assert one.max_failures - one.num_failures == WORKER_DEATHS - 1
    one.num_failures += 1
    tune.scheduler.on_trial_error(None, one)
    tune.scheduler.on_trial_result(None, one, reported(3, 0.5))  # trained again: not a new one
    assert one.max_failures - one.num_failures == WORKER_DEATHS - 2


def test_trials_under_way_are_not_failed_when_the_study_is_to_stop(tune):
    tune.search.suggest("a")
    tune.search.suggest("b")
    full = Failure(error="OSError: no space", traceback="", environment=True)
    tune.scheduler.on_trial_result(None, trial("a"), {"failure": full.model_dump_json()})
    assert tune.stop.stop_all()
    assert tune.search.suggest("c") == Searcher.FINISHED
    for name in ("a", "b"):
        tune.search.on_trial_complete(name)
    begun = [t.state for t in tune.study.trials if "invalid" not in t.user_attrs]
    assert begun == [TrialState.RUNNING] * 2
    assert tune.ledger.release() == 2


def test_bookkeeping_that_fails_stops_everything_and_is_kept(tune, monkeypatch):
    tune.search.suggest("a")
    error = OSError(28, "No space left on device")

    def fail(*_):
        raise error

    monkeypatch.setattr(tune.ledger, "report", fail)
    monkeypatch.setattr(tune.ledger, "gone", fail)
    decision = tune.scheduler.on_trial_result(None, trial("a"), reported(1, 0.5))
    assert decision == TrialScheduler.CONTINUE
    assert tune.stop.stop_all()
    assert tune.ledger.broken is error
    tune.search.on_trial_complete("a")  # Tune would log a traceback
    assert tune.study.trials[0].state == TrialState.RUNNING


def test_the_loss_of_all_nodes_ends_the_study(tune):
    tune.search.suggest("a")
    tune.callback.on_step_begin(1, [])
    assert not tune.stop.stop_all()
    tune.nodes.lost = True
    tune.callback.on_step_begin(2, [])
    assert tune.stop.stop_all()
    assert "has died" in tune.ledger.fatal_error
    assert tune.ledger.release() == 1


@pytest.mark.parametrize("ending", ["on_trial_complete", "on_trial_error"])
def test_what_nobody_reads_of_a_trial_that_is_over_is_dropped(tune, ending):
    """A study may have thousands; Tune itself reads `last_result` alone."""
    over = Trial("trainable", trial_id="a", config={"task": "long", "number": 0}, stub=True)
    over.update_last_result(
        {**reported(1, 0.3), "training_iteration": 1, "config": {"task": "long"}}
    )
    kept = over.run_metadata
    assert kept.metric_analysis
    assert kept.metric_n_steps
    getattr(tune.callback, ending)(1, [over], over)
    assert not kept.metric_analysis
    assert not kept.metric_n_steps
    assert over.config == {"number": 0}
    assert "config" not in over.last_result
    assert over.last_result["training_iteration"] == 1


def test_a_recorded_ending_is_announced_unless_the_study_is_stopping(tune, monkeypatch):
    monkeypatch.setattr("mmsr.study.driver.tune.drop_unread", lambda _: None)
    seen = []

    def ended():
        seen.append([one.state for one in tune.study.trials])

    callback = StudyCallback(tune.ledger, lambda: False, ended)
    for name in ("a", "b"):
        tune.search.suggest(name)
    tune.scheduler.on_trial_result(None, trial("a"), reported(1, 0.5, finished=True))
    callback.on_trial_complete(0, [], trial("a"))
    assert seen == [[TrialState.COMPLETE, TrialState.RUNNING]]
    tune.ledger.stop("interrupted")
    callback.on_trial_complete(0, [], trial("b"))
    assert len(seen) == 1


def test_an_error_of_what_follows_an_ending_reaches_the_driver(tune, monkeypatch):
    monkeypatch.setattr("mmsr.study.driver.tune.drop_unread", lambda _: None)

    def ended():
        raise OSError("disk full")

    callback = StudyCallback(tune.ledger, lambda: False, ended)
    tune.search.suggest("a")
    tune.scheduler.on_trial_result(None, trial("a"), reported(1, 0.5, finished=True))
    callback.on_trial_complete(0, [], trial("a"))
    assert str(tune.ledger.broken) == "disk full"
    assert tune.ledger.stop_reason is not None


@pytest.mark.parametrize(("borrowed", "killed"), [(True, 1), (False, 0)])
def test_a_second_stop_leaves_nothing_on_a_ray_that_stays(tune, monkeypatch, borrowed, killed):
    plan = SimpleNamespace(
        resources=Resources(), folder=SimpleNamespace(for_tune=dict), task=lambda proposal: proposal
    )
    actors = Mock()
    controller = SimpleNamespace(_actor_manager=actors, _checkpoint_manager=SimpleNamespace())

    class Tuner:
        def __init__(self, trainable, tune_config, run_config):
            self.scheduler = tune_config.scheduler

        def fit(self):
            self.scheduler.on_trial_add(controller, trial("a"))
            raise KeyboardInterrupt

    monkeypatch.setattr("ray.tune.Tuner", Tuner)
    with pytest.raises(KeyboardInterrupt):
        tune_trials(plan, tune.ledger, 1, lambda: 1, lambda: None, lambda: False, borrowed=borrowed)
    assert actors.cleanup.call_count == killed

"""The bookkeeping's rules, against Optuna in memory and without Ray."""

from __future__ import annotations

import json
import math

import optuna
import pytest
from optuna.trial import TrialState

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study import Choice, Halving, Int, Tpe
from mmsr.study.driver.ledger import Ledger
from mmsr.study.planning.rules import Rules
from mmsr.study.storage.lineage import current
from mmsr.study.storage.progress import counted
from mmsr.study.storage.trials import rows
from mmsr.study.workers.messages import Failure, Report
from mmsr.tracking import RunState

optuna.logging.set_verbosity(optuna.logging.ERROR)
OBJECTIVE = "valid/mrr@20"
BASE = Config(dataset="shop")
SPACE = {"model.width": Int(1, 100)}


class Recorder:
    """Observer that keeps all it is told."""

    def __init__(self):
        self.events = []

    def started(self, proposal, runner_id):
        self.events.append(("started", proposal.number))

    def reported(self, proposal, report):
        self.events.append(("reported", proposal.number, report.epoch))

    def recovered(self, proposal, reason):
        self.events.append(("recovered", proposal.number))

    def ended(self, proposal, ending):
        self.events.append(("ended", proposal.number, ending.state))


@pytest.fixture
def study():
    return optuna.create_study(
        direction="maximize", sampler=Tpe(3).build(0, 0), pruner=optuna.pruners.NopPruner()
    )


@pytest.fixture
def ledger_of(study, tmp_path):
    def make(space=SPACE, time_limit=math.inf, **options):
        rules = Rules(space, BASE, OBJECTIVE, time_limit=time_limit)
        return Ledger(study, rules, tmp_path, **options)

    return make


def report(epoch, value, *, best=None, finished=False):
    best_value = value if best is None else best
    return Report(
        epoch=epoch,
        metrics={OBJECTIVE: value},
        best_epoch=epoch,
        best_metrics={OBJECTIVE: best_value},
        finished=finished,
    )


def checkpoint(folder, number, index, epoch):
    """A checkpoint as a worker leaves it."""
    path = folder / f"trial-{number:05d}" / f"checkpoint_{index:06d}"
    path.mkdir(parents=True)
    (path / "report.json").write_text(report(epoch, 0.1).model_dump_json())
    return path


def test_a_finished_trial_has_the_value_of_its_best_epoch(study, ledger_of):
    watcher = Recorder()
    ledger = ledger_of(observers=[watcher])
    proposal = ledger.ask("a")
    assert not ledger.report("a", report(1, 0.3))
    assert ledger.report("a", report(2, 0.2, best=0.3, finished=True))
    trial = study.trials[proposal.number]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.3)
    assert trial.intermediate_values == {1: 0.3, 2: 0.2}
    assert trial.user_attrs["ray_trial_id"] == "a"
    assert Config.from_dict(trial.user_attrs["config"]) == proposal.config
    assert watcher.events == [
        ("started", 0),
        ("reported", 0, 1),
        ("reported", 0, 2),
        ("ended", 0, RunState.FINISHED),
    ]
    assert ledger.report("a", report(2, 0.2, finished=True)), "a late word changes nothing"


def test_a_pruned_trial_is_pruned_and_keeps_its_last_value(study, ledger_of):
    study.pruner = Halving(first_rung=1, factor=2, startup_trials=0).build(9)
    ledger = ledger_of()
    for runner, value in (("a", 0.5), ("b", 0.4), ("c", 0.1)):
        ledger.ask(runner)
        over = ledger.report(runner, report(1, value))
    assert over
    assert study.trials[2].state == TrialState.PRUNED
    assert study.trials[2].value == 0.1
    assert len(counted(study)) == 2, "b was pruned as well, a goes on"
    assert ledger.live == ("a",)


def test_a_trial_that_was_stopped_early_ranks_by_its_best_epoch(study):
    trial = study.ask()
    for epoch, value in enumerate((0.2, 0.4, 0.1), start=1):
        trial.report(value, epoch)
    trial.set_user_attr("outcome", {"best_epoch": 2})
    study.tell(trial, state=TrialState.PRUNED)
    assert [row.value for row in rows(study)] == [0.4]


def test_no_trial_is_stopped_before_enough_have_finished(study, ledger_of):
    study.pruner = Halving(first_rung=1, factor=2, startup_trials=2).build(9)
    ledger = ledger_of()
    for number in range(3):
        ledger.ask(str(number))
        assert not ledger.report(str(number), report(1, 0.5 - number / 10))
    for number in range(2):
        ledger.report(str(number), report(2, 0.5, finished=True))
    ledger.ask("late")
    assert ledger.report("late", report(1, 0.01))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_objective_that_is_not_finite_fails_the_trial(study, ledger_of, value):
    ledger = ledger_of()
    ledger.ask("a")
    assert ledger.report("a", report(1, value))
    assert study.trials[0].state == TrialState.FAIL
    assert OBJECTIVE in study.trials[0].user_attrs["outcome"]["error"]
    assert len(counted(study)) == 1


def test_a_failure_is_kept_with_its_words(study, ledger_of):
    ledger = ledger_of()
    ledger.ask("a")
    ledger.fail("a", Failure(error="ValueError: no", traceback="line 1"))
    outcome = study.trials[0].user_attrs["outcome"]
    assert (study.trials[0].state, outcome["error"]) == (TrialState.FAIL, "ValueError: no")
    assert outcome["traceback"] == "line 1"
    ledger.fail("a", Failure(error="again", traceback=""))
    assert len(study.trials) == 1


def test_a_dead_worker_is_no_failure_until_the_runner_gives_up(study, ledger_of):
    watcher = Recorder()
    ledger = ledger_of(observers=[watcher])
    ledger.ask("a")
    ledger.died("a", "killed")
    ledger.recovered("a")
    assert ledger.live == ("a",)
    assert ("recovered", 0) in watcher.events
    ledger.died("a", "killed again")
    ledger.gone("a")
    outcome = study.trials[0].user_attrs["outcome"]
    assert outcome["error"] == "worker died 2 times: killed again"
    assert ledger.live == ()


def test_three_equal_failures_at_the_start_stop_the_study_and_are_tried_again(study, ledger_of):
    ledger = ledger_of()
    for number in range(3):
        assert ledger.stop_reason is None
        ledger.ask(str(number))
        ledger.fail(str(number), Failure(error=f"OSError: no file {number}", traceback=""))
    assert ledger.stop_reason is not None
    assert ledger.fatal_error == "OSError: no file 0"
    later = ledger_of()
    assert later.reclaim() == 3
    assert later.reclaim() == 0
    assert counted(study) == []
    assert [later.ask(str(n)).settings for n in range(3)] == [t.params for t in study.trials[:3]]


def test_a_machine_at_fault_stops_the_study_and_fails_no_trial(study, ledger_of, tmp_path):
    watcher = Recorder()
    ledger = ledger_of(observers=[watcher])
    for runner in ("a", "b"):
        ledger.ask(runner)
        ledger.report(runner, report(1, 0.1))
    checkpoint(tmp_path, 0, 0, 1)
    full = Failure(error="OSError: no space left", traceback="", environment=True)
    ledger.fail("a", full)
    assert (ledger.stop_reason, ledger.fatal_error) == (
        "trial 0 could not continue",
        "OSError: no space left",
    )
    assert ledger.release() == 2
    ended = [event[2] for event in watcher.events if event[0] == "ended"]
    assert ended == [RunState.INTERRUPTED] * 2
    later = ledger_of()
    later.reclaim()
    assert (counted(study), later.stop_reason) == ([], None)
    assert later.ask("c").epochs_done == 1


def test_a_storage_that_fails_while_a_trial_is_asked_for(study, ledger_of, monkeypatch):
    watcher = Recorder()
    ledger = ledger_of(observers=[watcher])
    with monkeypatch.context() as patch:
        failing = lambda *_, **__: (_ for _ in ()).throw(OSError("locked"))  # noqa: E731
        patch.setattr(study._storage, "set_trial_user_attr", failing)
        with pytest.raises(OSError, match="locked"):
            ledger.ask("a")
    assert ledger.release() == 0
    assert watcher.events == [], "nobody hears of the end of a trial that never started"
    later = ledger_of()
    # A driver's storage takes the whole trial back; this one leaves it without a mark of mmsr's.
    assert later.reclaim() == 0
    assert later.ask("b").number == 1


@pytest.mark.parametrize("errors", [["a", "b", "a"], ["a", None, "a"]])
def test_other_failures_do_not_stop_the_study(ledger_of, errors):
    ledger = ledger_of()
    for number, error in enumerate(errors):
        ledger.ask(str(number))
        if error is None:
            ledger.report(str(number), report(1, 0.1, finished=True))
        else:
            ledger.fail(str(number), Failure(error=error, traceback=""))
    for number in range(3, 7):
        ledger.ask(str(number))
        ledger.fail(str(number), Failure(error="a", traceback=""))
    assert ledger.stop_reason is None


def test_a_dead_drivers_trial_goes_on_with_all_it_had(study, ledger_of, tmp_path):
    ledger = ledger_of()
    before = ledger.ask("a")
    for epoch in (1, 2, 3):
        ledger.report("a", report(epoch, epoch / 10))
    kept = checkpoint(tmp_path, 0, 1, 2)
    checkpoint(tmp_path, 0, 3, 4)  # written, but the driver died before it was reported

    later = ledger_of()
    assert later.reclaim() == 1
    assert study.trials[0].state == TrialState.FAIL
    after = later.ask("b")
    assert after.origin == "retry"
    assert (after.config, after.settings, after.key) == (before.config, before.settings, before.key)
    assert (after.checkpoint, after.epochs_done) == (kept, 2)
    assert study.trials[1].intermediate_values == {1: 0.1, 2: 0.2}
    assert not later.report("b", report(2, 0.2)), "an epoch that is known is not reported twice"
    assert later.report("b", report(3, 0.3, finished=True))
    assert [trial.number for trial in counted(study)] == [1]
    assert study.trials[1].params == study.trials[0].params


def test_a_checkpoint_that_is_shorter_than_noted_is_passed_over(study, ledger_of, tmp_path):
    ledger = ledger_of()
    ledger.ask("a")
    for epoch in (1, 2):
        ledger.report("a", report(epoch, epoch / 10))
        folder = checkpoint(tmp_path, 0, epoch, epoch)
        (folder / "model.safetensors").write_bytes(b"weights")
        noted = report(epoch, 0.1).model_copy(update={"files": {"model.safetensors": 7}})
        (folder / "report.json").write_text(noted.model_dump_json())
    (folder / "model.safetensors").write_bytes(b"")  # the machine went down
    later = ledger_of()
    later.reclaim()
    assert later.ask("b").epochs_done == 1


def test_a_trial_may_be_cut_off_again_and_again(study, ledger_of, tmp_path):
    ledger_of().ask("0")
    for epoch in (1, 2, 3):
        ledger = ledger_of()
        assert ledger.reclaim() == 1
        proposal = ledger.ask(str(epoch))
        assert proposal.epochs_done == epoch - 1
        ledger.report(str(epoch), report(epoch, 0.1))
        checkpoint(tmp_path, proposal.number, epoch, epoch)
        ledger_of().reclaim()
        ledger = ledger_of()
        idle = ledger.ask("idle")  # dies before its first report
        assert idle.epochs_done == epoch
        assert idle.key == "trial-00000"
    assert len(current(study.trials)) == 1


def test_reclaiming_is_safe_to_be_cut_off(study, ledger_of, monkeypatch):
    ledger_of().ask("a")
    with monkeypatch.context() as patch:
        patch.setattr(study, "tell", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ledger_of().reclaim()
    ledger_of().reclaim()
    waiting = [t for t in study.trials if t.state == TrialState.WAITING]
    assert len(waiting) == 1
    assert study.trials[0].state == TrialState.FAIL


@pytest.mark.parametrize("method", ["set_trial_intermediate_value", "set_trial_state_values"])
def test_a_driver_that_dies_between_two_notes_loses_nothing(
    study, ledger_of, tmp_path, monkeypatch, method
):
    """Killed after the observers were told, before the storage was: the trial goes on."""
    watcher = Recorder()
    ledger = ledger_of(observers=[watcher])
    ledger.ask("a")
    ledger.report("a", report(1, 0.1))
    checkpoint(tmp_path, 0, 0, 1)
    checkpoint(tmp_path, 0, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(study._storage, method, lambda *_, **__: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            ledger.report("a", report(2, 0.2, finished=True))
    told = [event for event in watcher.events if event[0] == "reported"]
    assert told == [("reported", 0, 1), ("reported", 0, 2)]
    later = ledger_of()
    later.reclaim()
    proposal = later.ask("b")
    assert proposal.epochs_done == (1 if method == "set_trial_intermediate_value" else 2)
    later.report("b", report(2, 0.2, finished=True))
    (over,) = counted(study)
    assert (over.state, over.value) == (TrialState.COMPLETE, 0.2)
    assert over.intermediate_values == {1: 0.1, 2: 0.2}


def test_a_trial_that_is_over_keeps_only_its_best_model(study, ledger_of, tmp_path):
    ledger_of().ask("a")
    from mmsr.training import checkpoint as files

    resumption = (files.MODEL, files.OPTIMIZER)
    names = (files.BEST, files.STATE, "config.yaml", "other", *resumption)
    for number in (0, 1):
        folder = checkpoint(tmp_path, number, 0, 1)
        for name in names:
            (folder / name).write_text("x")
    ledger = ledger_of()
    ledger.reclaim()
    ledger.ask("b")
    ledger.report("b", report(1, 0.1, finished=True))
    for number in (0, 1):
        folder = tmp_path / f"trial-{number:05d}" / "checkpoint_000000"
        left = {path.name for path in folder.iterdir()}
        assert left == {*names, "report.json"} - {*resumption}


def test_release_gives_back_what_is_under_way(study, ledger_of):
    watcher = Recorder()
    ledger = ledger_of(observers=[watcher])
    ledger.ask("a")
    ledger.ask("b")
    assert ledger.release() == 2
    assert ledger.live == ()
    assert [event for event in watcher.events if event[0] == "ended"] == [
        ("ended", 0, RunState.INTERRUPTED),
        ("ended", 1, RunState.INTERRUPTED),
    ]
    assert counted(study) == []
    assert len(current(study.trials)) == 2


def test_a_trial_that_died_while_being_asked_is_not_lost(study, ledger_of):
    study.enqueue_trial({"model.width": 7}, user_attrs={"origin": "known"})
    study.ask()  # no parameter was drawn yet
    ledger = ledger_of()
    assert ledger.reclaim() == 1
    assert "model.width" in ledger.ask("a").settings


def test_a_running_trial_that_mmsr_did_not_ask_for_is_left_alone(study, ledger_of):
    study.ask()
    ledger = ledger_of()
    assert ledger.reclaim() == 0
    assert ledger.ask("a").number == 1
    assert study.trials[0].state == TrialState.RUNNING


def test_an_invalid_proposal_is_marked_and_another_is_asked_for(study, ledger_of):
    space = {"model.width": Choice(0, 8), "seed": Int(1, 1000)}
    ledger = ledger_of(space)
    proposals = [ledger.ask(str(n)) for n in range(4)]
    assert all(proposal.config.model.width == 8 for proposal in proposals)
    invalid = [trial for trial in study.trials if "invalid" in trial.user_attrs]
    assert all(trial.state == TrialState.FAIL for trial in invalid)
    assert counted(study) == []


def test_a_space_without_valid_config_ends_with_an_error(ledger_of):
    with pytest.raises(UserError, match="in a row"):
        ledger_of({"model.width": Choice(0)}).ask("never")


def test_pruner_does_not_count_a_retried_trial_twice(study, ledger_of, tmp_path):
    study.pruner = Halving(first_rung=1, factor=2, startup_trials=0).build(9)
    ledger = ledger_of()
    ledger.ask("a")
    ledger.report("a", report(1, 0.5))
    checkpoint(tmp_path, 0, 0, 1)
    for attempt in range(3):
        ledger = ledger_of()
        ledger.reclaim()
        ledger.ask(f"a{attempt}")
    ledger.ask("b")
    ledger.ask("c")
    ledger.ask("d")
    assert ledger.report("b", report(1, 0.1))
    assert ledger.report("c", report(1, 0.2))
    # Of 0.5, 0.4, 0.2, 0.1 the upper half goes on; 0.5 counted four times would take all places.
    assert not ledger.report("d", report(1, 0.4))


def test_code_and_driver_are_noted(study, ledger_of):
    ledger_of(driver="host:1", code={"version": "0"}).ask("a")
    assert study.trials[0].user_attrs["driver"] == "host:1"
    assert study.trials[0].user_attrs["code"] == {"version": "0"}
    assert json.dumps(study.trials[0].user_attrs)


def test_a_trial_that_trains_too_long_fails_and_is_not_tried_again(study, ledger_of, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    ledger = ledger_of(time_limit=60.0)
    for runner_id in ("reports", "hangs", "waits", "quick"):
        ledger.ask(runner_id)
    for runner_id in ("reports", "hangs", "quick"):
        ledger.running(runner_id)
    assert not ledger.report("quick", report(1, 0.5).model_copy(update={"seconds": 30.0}))
    assert ledger.report("reports", report(1, 0.5).model_copy(update={"seconds": 61.0}))
    now += 29
    assert ledger.expire() == []
    now += 2  # 61 seconds of `quick`: 30 that it told of, 31 since
    assert ledger.expire() == ["quick"]
    now += 30
    assert ledger.expire() == ["hangs"]
    now += 1e6
    assert ledger.expire() == [], "no worker has begun with `waits`"
    failed = [row.error for row in rows(study) if row.state == "failed"]
    epochs = [f"time limit: 0.0167 hours were used up after epoch {epoch}" for epoch in (1, 0, 1)]
    assert failed == epochs
    assert ledger.fatal_error == epochs[0], "the first three failed alike"

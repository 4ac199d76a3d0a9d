"""What a driver says of the events that MLflow does not have; no Ray is started."""

from __future__ import annotations

import dataclasses

import pytest

from mmsr.study.driver.exit_codes import OK
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.reporting import Reporting
from mmsr.study.driver.run import run_plan
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage.progress import ending_of, set_ending
from mmsr.study.workers.messages import Report
from mmsr.tracking import RunState
from mmsr.tracking.journal.sink import Unavailable


class Server:
    """In MLflow's place."""

    error = None
    stored = ()

    def __init__(self, uri, experiment, study):
        self.place = str(uri)

    def deliver(self, events, runs):
        if Server.error is not None:
            raise Server.error
        Server.stored = (*Server.stored, *events)


@pytest.fixture
def plan(small_study, study_home, monkeypatch, without_ray):
    """A study of one trial, which is never run."""
    monkeypatch.setattr("mmsr.tracking.mlflow.MlflowSink", Server)
    monkeypatch.setattr(Server, "stored", ())
    monkeypatch.setattr(Server, "error", Unavailable("no route"))
    monkeypatch.setattr("mmsr.study.storage.known_study.SHIP_SECONDS", 0.1)
    monkeypatch.setattr("mmsr.study.driver.run.SHIP_SECONDS", 0.1)
    without_ray(monkeypatch, lambda *_: None)
    return make_plan(dataclasses.replace(small_study, trials=1), Options(name="small"))


@pytest.fixture
def run(plan, capsys):
    def once():
        code = run_plan(plan, Reporting(show_end=lambda *_: None))
        return code, " ".join(capsys.readouterr().out.split())

    return once


WAIT = "tracking: 6 events wait to be sent (the server is away: no route): `mmsr study sync small`"


def test_a_server_that_is_away_stops_neither_a_study_nor_its_resumption(run):
    assert WAIT in run()[1]
    assert WAIT.replace("6 events", "12 events") in run()[1]
    Server.error = None
    assert "events wait to be sent" not in run()[1]
    kinds = [event.kind for event in Server.stored]
    assert kinds == ["open", *["tags"] * 4, "close"] * 3


def test_a_finished_study_sends_what_was_left_and_says_what_waits(plan, run, opened_study):
    run()  # the study is recorded, and its two events wait
    study = opened_study(plan)
    ledger = Ledger(study, plan.rules(), plan.folder.ray)
    ledger.ask("a")
    value = {plan.objective: 0.2}
    report = Report(epoch=1, metrics=value, best_epoch=1, best_metrics=value, finished=True)
    ledger.report("a", report)
    code, out = run()
    assert code == OK
    assert WAIT in out
    Server.error = None
    code, out = run()
    assert code == OK
    assert "tracking: " not in out
    assert [event.kind for event in Server.stored] == ["open", *["tags"] * 4, "close"]


def test_a_driver_that_is_killed_leaves_no_error_of_an_earlier_one(
    plan, run, opened_study, monkeypatch
):
    set_ending(opened_study(plan), RunState.FAILED, "no disk")
    seen = []
    monkeypatch.setattr(
        "mmsr.study.driver.run._tune", lambda *_: seen.append(ending_of(opened_study(plan)))
    )
    run()
    assert seen == [(RunState.INTERRUPTED, None)]

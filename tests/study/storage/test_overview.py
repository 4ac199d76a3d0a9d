"""The overview of studies shows what their whole trials show, however it is read."""

from __future__ import annotations

import math
import sqlite3

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study import Halving, Int
from mmsr.study.driver.ledger import Ledger
from mmsr.study.planning.rules import Rules
from mmsr.study.results.pareto import pareto_front
from mmsr.study.search.objectives import directions
from mmsr.study.storage import database, overview
from mmsr.study.storage.overview import overview_of, overviews
from mmsr.study.storage.progress import progress_of, set_target, take_back
from mmsr.study.storage.trials import ranked, rows, rows_of
from mmsr.study.workers.messages import Failure, Report
from mmsr.urls import Url

OBJECTIVE, COST = "valid/mrr@20", "cost/parameters"
SPACE = {"model.width": Int(1, 10_000)}


def report(epoch, values, *, finished=True):
    return Report(
        epoch=epoch, metrics=values, best_epoch=epoch, best_metrics=values, finished=finished
    )


@pytest.fixture
def make(tmp_path):
    """Makes a study with trials of all kinds, and returns it."""

    def make(name, against=()):
        url = f"sqlite:///{tmp_path / 'optuna.db'}"
        study = optuna.create_study(
            study_name=name,
            storage=database.open_storage(url),
            directions=directions([OBJECTIVE, *against]),
            sampler=optuna.samplers.RandomSampler(1),
            pruner=Halving(first_rung=1, factor=2, startup_trials=0).build(9),
        )
        study.set_user_attr("uid", "0" * 32)
        set_target(study, 12)
        rules = Rules(SPACE, Config(dataset="shop"), OBJECTIVE, against=against)
        ledger = Ledger(study, rules, tmp_path)
        for value in (0.3, 0.5, 0.1, 0.4):
            ledger.ask("a")
            values = {OBJECTIVE: value, **dict.fromkeys(against, 10 * value)}
            if not ledger.report("a", report(1, values, finished=False)):
                ledger.report("a", report(2, values))
        ledger.ask("b")
        ledger.fail("b", Failure(error="bad luck", traceback=""))
        ledger.ask("c")
        ledger.report("c", report(1, values, finished=False))
        ledger.release()  # its successor waits
        study.enqueue_trial({"model.width": 10**6})
        study.enqueue_trial({"model.width": 7})
        study.add_trial(create_trial(values=[9.0] * (1 + len(against))))
        study.ask()  # takes the successor, as a driver that is killed at once
        take_back(study, [4])
        return study, url

    return make


@pytest.mark.parametrize("against", [(), (COST,)])
@pytest.mark.parametrize("schema", [overview.SCHEMA, "of another version"])
def test_it_is_what_whole_trials_say(make, against, schema, monkeypatch):
    monkeypatch.setattr(overview, "SCHEMA", schema)
    study, url = make("s", against)
    objectives = [OBJECTIVE, *against]
    found = overview_of(url, "s", objectives)
    whole = rows(study)
    assert [(one.number, one.state) for one in found.standings] == [
        (row.number, row.state) for row in whole
    ]
    assert [one.number for one in ranked(found.standings)] == [row.number for row in ranked(whole)]
    values = {row.number: row.value for row in ranked(whole)}
    assert {one.number: one.value for one in ranked(found.standings)} == values
    progress = progress_of(study)
    assert vars(found.extent) == {name: getattr(progress, name) for name in vars(found.extent)}
    assert found.best == progress.best == 0.5
    assert found.outside == [len(study.trials) - 1]
    finished = [one for one in found.standings if one.state == "finished"]
    read = rows_of(study, [one.number for one in finished], found.ids)
    assert read == [row for row in whole if row.state == "finished"]
    for one, row in zip(finished, read, strict=True):
        assert one.metrics == {name: row.metrics[name] for name in objectives}


def test_studies_of_one_database_do_not_mix(make):
    make("s")
    _, url = make("t", (COST,))
    optuna.create_study(study_name="theirs", storage=url)
    found = overviews(url, ["s", "t", "theirs", "gone"])
    assert found.keys() == {"s", "t", "theirs"}
    assert found["s"].ids.keys() == overview_of(url, "s").ids.keys()
    assert set(found["s"].ids.values()) & set(found["t"].ids.values()) == set()
    assert isinstance(found["theirs"], UserError)
    with pytest.raises(UserError, match="there is no study 'gone' in sqlite"):
        overview_of(url, "gone")


def test_nothing_is_made_or_written(make, tmp_path):
    _, url = make("s")
    before = (tmp_path / "optuna.db").read_bytes()
    overviews(url, ["s"])
    assert (tmp_path / "optuna.db").read_bytes() == before
    assert overviews(f"sqlite:///{tmp_path / 'no.db'}", ["s"]) == {}
    assert not (tmp_path / "no.db").exists()


def test_a_database_of_something_else_is_left_alone(tmp_path):
    file = tmp_path / "theirs.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE notes (text)")
    before = file.read_bytes()
    assert overviews(Url.parse(f"sqlite:///{file}"), ["s"]) == {}
    assert file.read_bytes() == before


def test_a_damaged_study_hides_no_others(make):
    make("s")
    study, url = make("t")
    study.set_user_attr("budget", "soon")
    found = overviews(url, ["s", "t"])
    assert found["s"].best == 0.5
    assert "study 't' is damaged in its storage" in str(found["t"])


def test_trials_without_a_finite_value(make):
    study, url = make("s")
    for value in (math.inf, -math.inf):
        study.add_trial(create_trial(value=value, user_attrs={"outcome": {}}))
    values = [one.value for one in overview_of(url, "s").standings if one.state == "finished"]
    assert values[-2:] == [math.inf, -math.inf]


def test_the_front_is_what_nothing_dominates(make):
    study, url = make("s", (COST,))
    study.sampler = optuna.samplers.RandomSampler(3)
    for number in range(60):
        values = [round(number * 0.37 % 1, 1), float(number * 17 % 7)]
        metrics = dict(zip((OBJECTIVE, COST), values, strict=True))
        study.add_trial(
            create_trial(values=values, user_attrs={"outcome": {"best_metrics": metrics}})
        )
    for found in (rows(study), overview_of(url, "s", (OBJECTIVE, COST)).standings):
        finished = [row for row in ranked(found) if row.state == "finished"]
        values = [[row.metrics[OBJECTIVE], row.metrics[COST]] for row in finished]
        assert pareto_front(found, (OBJECTIVE, COST)) == [
            row
            for row, own in zip(finished, values, strict=True)
            if not any(
                score >= own[0] and cost <= own[1] and [score, cost] != own
                for score, cost in values
            )
        ]


def test_a_running_trial_is_one(make):
    study, url = make("s")
    states = {one.number: one.state for one in overview_of(url, "s").standings}
    running = [trial.number for trial in study.trials if trial.state == TrialState.RUNNING]
    assert running
    assert all(states[number] == "running" for number in running)

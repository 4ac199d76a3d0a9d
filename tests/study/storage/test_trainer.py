"""The trainer is a part of what makes a study: recorded, compared, shown where it is another."""

from __future__ import annotations

import dataclasses
import json

import pytest
import yaml

from mmsr.errors import UserError
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.reporting import tags_of
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.existing import check_existing
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.results.export import export_best
from mmsr.study.storage import database
from mmsr.study.storage.definition import TRAINER
from mmsr.study.storage.known_study import look_up
from mmsr.study.views import dry_run
from mmsr.study.workers.messages import Report

OWN = "json:loads"
"""A function that is there, and that no trial calls here."""


@pytest.fixture
def plan_of(small_study, study_home):
    def plan(trainer):
        return make_plan(dataclasses.replace(small_study, trainer=trainer), Options(name="small"))

    return plan


@pytest.fixture
def finished(plan_of, opened_study):
    """Makes a study of one finished trial by the given trainer."""

    def study(trainer):
        plan = plan_of(trainer)
        study = opened_study(plan, trials=1, command="python small.py")
        ledger = Ledger(study, plan.rules(), plan.folder.ray)
        ledger.ask("a")
        value = {plan.objective: 0.2}
        report = Report(epoch=1, metrics=value, best_epoch=1, best_metrics=value, finished=True)
        ledger.report("a", report)
        return look_up("small")

    return study


def test_a_study_goes_on_with_its_trainer_alone(finished, plan_of):
    finished(OWN)
    plan = plan_of(OWN)
    assert check_existing(plan, database.open_storage(plan.storage)) is not None
    plan = plan_of(TRAINER)
    with pytest.raises(UserError, match=f"trainer was {OWN} and is {TRAINER}"):
        check_existing(plan, database.open_storage(plan.storage))


@pytest.fixture
def of_before(finished):
    """A finished study whose definition names no trainer, as older ones do."""
    known = finished(OWN)
    tree = known.definition.model_dump(mode="json", exclude={"trainer"})
    known.study.set_user_attr("definition", json.dumps(tree))
    return look_up("small")


@pytest.mark.parametrize("trainer", [TRAINER, OWN])
def test_a_study_of_before_goes_on_with_whatever_trainer(of_before, plan_of, trainer):
    assert of_before.definition.trainer is None
    plan = plan_of(trainer)
    assert check_existing(plan, database.open_storage(plan.storage)) is not None
    other = plan.definition.model_copy(update={"pruner": "another"})
    assert of_before.definition.difference(other).startswith("pruner was")


def test_a_trainer_that_was_not_recorded_is_not_named(of_before, monkeypatch, capsys):
    assert tags_of("small", of_before.definition)["mmsr.trainer"] == "not recorded"
    exported = yaml.safe_load(export_best(of_before))
    assert exported["provenance"]["trainer"] == "not recorded"
    assert "trainer not recorded" in status(monkeypatch, capsys)


@pytest.mark.parametrize("trainer", [TRAINER, OWN])
def test_it_is_told_wherever_a_result_goes(finished, trainer, monkeypatch, capsys):
    known = finished(trainer)
    assert tags_of("small", known.definition)["mmsr.trainer"] == trainer
    assert yaml.safe_load(export_best(known))["provenance"]["trainer"] == trainer
    shown = [line for line in status(monkeypatch, capsys) if line.startswith("trainer")]
    assert shown == ([f"trainer {OWN}"] if trainer == OWN else [])


def status(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mmsr", "study", "status", "small"])
    from mmsr.cli.app import main

    with pytest.raises(SystemExit):
        main()
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("trainer", [TRAINER, OWN])
def test_a_dry_run_names_it(plan_of, monkeypatch, capsys, trainer):
    monkeypatch.setattr(dry_run, "expect", lambda plan, console, left: {})
    dry_run.show_plan(plan_of(trainer))
    assert (OWN in capsys.readouterr().out) == (trainer == OWN)

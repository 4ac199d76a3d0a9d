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
from mmsr.study.storage.definition import TRAINER, Definition
from mmsr.study.storage.folder import StudyRecord
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
def finished(plan_of):
    """Makes a study of one finished trial by the given trainer."""

    def study(trainer):
        plan = plan_of(trainer)
        study = database.open_study(
            database.open_storage(plan.storage),
            plan.name,
            plan.definition,
            known=(),
            trials=1,
            sampler=plan.sampler.build(0, 0),
            pruner=None,
        )
        plan.folder.path.mkdir(parents=True)
        plan.folder.write_record(
            StudyRecord(
                name="small",
                uid=database.study_uid(study),
                dataset="shop",
                objective=plan.objective,
                storage=plan.storage,
                tracking=plan.tracking,
                command="python small.py",
            )
        )
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


def test_a_definition_of_before_has_the_default_trainer(plan_of):
    now = plan_of(TRAINER).definition
    before = now.model_dump(mode="json")
    del before["trainer"]
    then = Definition.model_validate_json(json.dumps(before))
    assert then.trainer == TRAINER
    assert then.difference(now) is None
    assert then.difference(plan_of(OWN).definition) == f"trainer was {TRAINER} and is {OWN}"


@pytest.mark.parametrize("trainer", [TRAINER, OWN])
def test_it_is_told_wherever_a_result_goes(finished, trainer, monkeypatch, capsys):
    known = finished(trainer)
    assert tags_of("small", known.definition)["mmsr.trainer"] == trainer
    assert yaml.safe_load(export_best(known))["provenance"]["trainer"] == trainer
    monkeypatch.setattr("sys.argv", ["mmsr", "study", "status", "small"])
    from mmsr.cli.app import main

    with pytest.raises(SystemExit):
        main()
    assert (f"trainer {OWN}" in capsys.readouterr().out) == (trainer == OWN)


@pytest.mark.parametrize("trainer", [TRAINER, OWN])
def test_a_dry_run_names_it(plan_of, monkeypatch, capsys, trainer):
    monkeypatch.setattr(dry_run, "expect", lambda plan, console: {})
    dry_run.show_plan(plan_of(trainer))
    assert (OWN in capsys.readouterr().out) == (trainer == OWN)

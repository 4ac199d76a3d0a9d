"""Budgets in hours: what is counted, over drivers, and what it ends; without Ray."""

from __future__ import annotations

import dataclasses

import optuna
import pytest

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study.driver.meter import Meter
from mmsr.study.planning.checks import read_budget
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage import database
from mmsr.study.storage.budget import Budget, budget_used_up, spent_hours
from mmsr.study.storage.progress import is_over
from mmsr.study.workers.messages import Ending, Proposal
from mmsr.study.workers.resources import Resources
from mmsr.tracking import RunState

HOUR = 3600.0


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def proposal(number):
    return Proposal(
        number=number, key=str(number), config=Config(dataset="x"), settings={}, origin="proposed"
    )


def test_hours_are_those_of_the_trials_under_way_times_what_they_get(clock):
    study = optuna.create_study()
    meter = Meter(study, Budget(gpu_hours=10), Resources(cpu=2, gpu=0.5), clock)
    clock.now += HOUR
    meter.started(proposal(0), "a")
    clock.now += HOUR
    meter.started(proposal(1), "b")
    clock.now += HOUR
    meter.ended(proposal(0), Ending(RunState.FINISHED, None, 1.0))
    clock.now += HOUR
    meter.close()
    assert meter.spent == pytest.approx({"hours": 4, "cpu_hours": 8, "gpu_hours": 2})
    assert spent_hours(study) == meter.spent


def test_the_count_goes_on_with_the_next_driver_and_survives_one_that_is_killed(clock):
    study = optuna.create_study()
    budget = Budget(hours=3)
    meter = Meter(study, budget, Resources(), clock)
    clock.now += 2 * HOUR
    assert meter.used_up() is None  # and then the driver is killed
    second = Meter(study, budget, Resources(), clock)
    clock.now += 0.5 * HOUR
    assert second.used_up() is None
    clock.now += 0.5 * HOUR
    assert second.used_up() == "budget of 3 h is used up"
    second.close()
    assert budget_used_up(study.user_attrs) == "budget of 3 h is used up"
    study.set_user_attr("trials", 5)
    assert is_over(study)
    Meter(study, Budget(hours=4), Resources(), clock)
    assert budget_used_up(study.user_attrs) is None
    assert not is_over(study)


def test_the_limit_that_is_reached_first_ends_it():
    budget = Budget(hours=2, gpu_hours=1)
    assert budget.used_up({"hours": 1.9, "gpu_hours": 0.9}) is None
    assert budget.used_up({"hours": 1.9, "gpu_hours": 1.0}) == "budget of 1 GPU-hours is used up"
    assert budget.told({"hours": 1.5}) == "budget: 1.5 of 2 h, 0 of 1 GPU-hours"
    assert str(budget) == "2 h and 1 GPU-hours"
    assert Budget().used_up({"hours": 1e9}) is None


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "2", True])
def test_a_budget_is_a_positive_number_of_hours(value):
    with pytest.raises(UserError, match=r"--hours .* above 0"):
        read_budget({"hours": value}, Resources())


def test_hours_of_what_trials_do_not_use_are_refused():
    with pytest.raises(UserError, match="would never be used up"):
        read_budget({"gpu_hours": 2.0}, Resources(cpu=1, gpu=0))
    assert read_budget({"gpu_hours": 2.0}, Resources(cpu=1, gpu=1)).gpu_hours == 2


def test_the_command_line_goes_before_the_file(small_study, study_home):
    study = dataclasses.replace(small_study, hours=5.0, cpu_hours=7.0)
    plan = make_plan(study, Options(hours=1.5))
    assert plan.budget == Budget(hours=1.5, cpu_hours=7.0)
    assert make_plan(small_study, Options()).budget.limits == {}


def test_dry_run_says_what_the_budget_is(small_study, study_home, capsys):
    with pytest.raises(SystemExit):
        small_study.main(["--dry-run", "--hours", "0.5"])
    assert "0.5 h, or 4 trials" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit) as stop:
        small_study.main(["--dry-run", "--hours", "long"])
    assert stop.value.code == 2
    assert "'long' is not a number" in capsys.readouterr().err


def test_a_study_whose_budget_is_used_up_starts_nothing(small_study, study_home, capsys):
    plan = make_plan(small_study, Options(hours=2.0))
    study = database.open_study(
        database.open_storage(plan.storage),
        plan.name,
        plan.definition,
        known=(),
        trials=plan.trials,
        sampler=plan.sampler.build(plan.seed, 0),
        pruner=None,
    )
    meter = Meter(study, plan.budget, plan.resources)
    meter.spent["hours"] = 2.0
    meter.close()
    with pytest.raises(SystemExit) as stop:
        small_study.main(["--hours", "1.5"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "budget of 1.5 h is used up; a higher budget resumes the study" in said
    assert "Ray" not in said
    assert study.trials == []

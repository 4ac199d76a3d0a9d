"""What is recorded later of a study leaves its own run in the study's state."""

from __future__ import annotations

import pytest

from mmsr.errors import UserError
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage.budget import BUDGET, SPENT
from mmsr.study.storage.known_study import close_study, look_up
from mmsr.study.storage.progress import set_ending, set_target
from mmsr.tracking import RunState


class Closed:
    """Tracker that notes how runs are closed."""

    def __init__(self):
        self.runs = []

    def close_run(self, key, state, tags=None):
        self.runs.append((key, state, tags))


@pytest.fixture
def plan(small_study, study_home):
    return make_plan(small_study, Options(name="small"))


@pytest.fixture
def study(plan, opened_study):
    return opened_study(plan, "python small.py")


def closed(**tags):
    tracker = Closed()
    close_study(tracker, look_up("small"), tags)
    (run,) = tracker.runs
    assert run[0] == "study"
    return run[1:]


def test_a_study_that_ended_by_its_budget_stays_finished(study):
    study.set_user_attr(BUDGET, {"hours": 1.0})
    study.set_user_attr(SPENT, {"hours": 1.0})
    set_ending(study, RunState.FINISHED, None)
    assert closed() == (RunState.FINISHED, {})


def test_a_complete_study_stays_finished(study):
    set_target(study, 0)
    assert closed(kind="x") == (RunState.FINISHED, {"kind": "x"})


def test_a_study_that_an_error_stopped_stays_failed_with_its_error(study):
    set_ending(study, RunState.FAILED, "no disk")
    assert closed(kind="x") == (RunState.FAILED, {"mmsr.error": "no disk", "kind": "x"})
    set_ending(study, RunState.INTERRUPTED, None)  # by a later driver
    assert closed() == (RunState.INTERRUPTED, {})


def test_a_study_of_an_older_version_with_trials_left_was_interrupted(study):
    assert closed() == (RunState.INTERRUPTED, {})


def test_a_record_of_another_study_is_not_taken_for_this_ones(plan, study):
    record = plan.folder.read_record()
    plan.folder.write_record(record.model_copy(update={"uid": "f" * 32}))
    with pytest.raises(UserError, match="belongs to another study 'small' than the one that is"):
        look_up("small")
    assert look_up("small", plan.storage).name == "small", "it was asked for by its storage"


def test_a_damaged_definition_is_told_in_one_line(study):
    study.set_user_attr("definition", '{"dataset": 3}')
    with pytest.raises(UserError, match="definition of study 'small' in its storage is damaged"):
        look_up("small")

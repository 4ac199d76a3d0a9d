"""Warm start: what another study tells never counts as the study's own; without Ray."""

from __future__ import annotations

import dataclasses
import json
import math

import optuna
import pytest

from mmsr.errors import UserError
from mmsr.study import Choice, Float, Int
from mmsr.study.driver.ledger import Ledger
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.planning.warm_start import _differing, import_trials
from mmsr.study.search.competition import AmongCurrent
from mmsr.study.search.objectives import directions
from mmsr.study.storage import database
from mmsr.study.storage.progress import add_missing, counted, n_over
from mmsr.study.storage.trials import rows
from mmsr.study.workers.messages import Report

OBJECTIVE, COST = "valid/mrr@20", "cost/parameters"


def open_study(plan):
    return database.open_study(
        database.open_storage(plan.storage),
        plan.name,
        plan.definition,
        known=(),
        trials=plan.trials,
        sampler=plan.sampler.build(plan.seed, 0, len(plan.definition.objectives)),
        pruner=None,
        directions=directions(plan.definition.objectives),
    )


def run(plan, values, **more):
    """A study whose trials finish with these values at once, and with `more` metrics."""
    study = open_study(plan)
    ledger = Ledger(study, plan.rules(), plan.folder.ray)
    for value in values:
        ledger.ask("a")
        metrics = {plan.objective: value} | dict.fromkeys(plan.against, 1000 * value) | more
        ledger.report(
            "a",
            Report(epoch=1, metrics=metrics, best_epoch=1, best_metrics=metrics, finished=True),
        )
    return study


def as_run(params):
    """Settings as the config has them: no more links than codes."""
    links = min(params["graph.links_per_item"], params["graph.n_codes"])
    return tuple({**params, "graph.links_per_item": links}.items())


@pytest.fixture
def other(small_study, study_home):
    """A study `before` with three finished trials."""
    return run(make_plan(small_study, Options(name="before")), (0.1, 0.3, 0.2))


def warm_plan(study, **options):
    return make_plan(study, Options(name="after", warm_start="before", **options))


def test_comparable_trials_inform_the_search_and_are_no_trials_of_the_study(small_study, other):
    plan = warm_plan(small_study)
    assert [told.values for told in plan.warm.informing] == [(0.3,), (0.2,), (0.1,)]
    assert plan.warm.trying == ()
    study = open_study(plan)
    assert import_trials(study, plan.warm, plan.space, plan.base) == 3
    seen = study.get_trials()
    assert {(as_run(t.params), t.value) for t in seen} == {
        (as_run(t.params), t.value) for t in other.trials
    }
    assert study.best_value == 0.3, "the sampler knows it"
    assert (rows(study), counted(study), n_over(study, None)) == ([], [], 0)
    assert add_missing(study, [seen[0].params]) == 1, "what is asked for is run here all the same"


def test_telling_again_adds_what_is_new_and_nothing_twice(small_study, other):
    plan = warm_plan(small_study)
    study = open_study(plan)
    assert import_trials(study, plan.warm, plan.space, plan.base) == 3
    assert import_trials(study, plan.warm, plan.space, plan.base) == 0
    run(make_plan(small_study, Options(name="before")), (0.4,))
    assert import_trials(study, warm_plan(small_study).warm, plan.space, plan.base) == 1
    assert len(study.trials) == 4


def test_a_wider_space_takes_them_as_they_are(small_study, other):
    space = {
        **small_study.space,
        "model.width": Int(4, 64),
        "model.fusion": Choice("early", "adaptive"),
    }
    base = {key: v for key, v in small_study.base.items() if key != "model.width"}
    plan = warm_plan(dataclasses.replace(small_study, space=space, base=base, enqueue=()))
    assert len(plan.warm.informing) == 3
    assert {told.settings["model.width"] for told in plan.warm.informing} == {8}


def test_further_settings_that_are_fixed_otherwise_are_counted(small_study, other):
    base = {**small_study.base, "training.batch_size": 16}
    reason = warm_plan(dataclasses.replace(small_study, epochs=5, base=base)).warm.reason
    assert "and this study fixes" in reason
    assert reason.endswith("; it differs in 1 other key too")


def test_settings_differ_by_more_than_the_rounding_of_numbers():
    theirs, ours = {"a": 3 * 0.1, "b": 1, "c": None, "dataset": "x"}, {"a": 0.3, "b": 2}
    assert _differing(theirs, ours) == ["b", "c"]


def test_what_the_space_does_not_have_is_left_out(small_study, other):
    rates = sorted(t.params["training.learning_rate"] for t in other.trials)
    space = {**small_study.space, "training.learning_rate": Float(rates[1], 0.1, log=True)}
    plan = warm_plan(dataclasses.replace(small_study, space=space, enqueue=()))
    assert len(plan.warm.informing) == 2
    assert "outside" in plan.warm.reason
    assert "1 left out" in str(plan.warm)
    far = {**small_study.space, "training.learning_rate": Float(0.5, 0.9)}
    with pytest.raises(UserError, match="none of its 3 finished trials fits this study's space"):
        warm_plan(dataclasses.replace(small_study, space=far, enqueue=()))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"objective": "valid/hr@5"}, "other objective"),
        ({"trainer": "json:loads"}, "other trainer: mmsr.training:train"),
        ({"epochs": 5}, "has training.epochs=3, and this study fixes 5"),
        (
            {"base": {"model.width": 16, "training.batch_size": 32}},
            "has model.width=8, and this study fixes 16",
        ),
    ],
)
def test_values_that_cannot_be_compared_are_tried_not_told(small_study, other, changes, why):
    plan = warm_plan(dataclasses.replace(small_study, **changes))
    assert plan.warm.informing == ()
    assert why in plan.warm.reason
    study = open_study(plan)
    assert import_trials(study, plan.warm, plan.space, plan.base) == len(plan.warm.trying) == 3
    ledger = Ledger(study, plan.rules(), plan.folder.ray)
    proposal = ledger.ask("a")
    best = max(other.trials, key=lambda trial: trial.value)
    assert proposal.settings == dict(plan.warm.trying[0].settings)
    assert proposal.settings["training.learning_rate"] == best.params["training.learning_rate"]
    assert proposal.origin == "warm start"
    assert len(rows(study)) == 3, "they are the study's own: they run here"
    assert import_trials(study, plan.warm, plan.space, plan.base) == 0


def test_a_trainer_that_was_not_recorded_keeps_no_value_from_being_told(small_study, other):
    tree = json.loads(other.user_attrs["definition"])
    assert tree.pop("trainer") != "json:loads"
    other.set_user_attr("definition", json.dumps(tree))
    plan = warm_plan(dataclasses.replace(small_study, trainer="json:loads"))
    assert len(plan.warm.informing) == 3


def test_a_study_that_is_not_there_or_knows_nothing(small_study, other):
    for name, told in {
        "befor": "did you mean 'before'|no study|unknown study",
        "after": "this study itself",
        "../x": "bad study name",
    }.items():
        with pytest.raises(UserError, match=told):
            make_plan(small_study, Options(name="after", warm_start=name))
    run(make_plan(small_study, Options(name="empty")), ())
    with pytest.raises(UserError, match="no finished trial"):
        make_plan(small_study, Options(name="after", warm_start="empty"))
    with pytest.raises(UserError, match="proposes nothing"):
        warm_plan(dataclasses.replace(small_study, only_enqueued=True))


class StopsAll(optuna.pruners.BasePruner):
    """Stops every trial."""

    def prune(self, study, trial):
        return True


def test_imported_trials_do_not_let_others_be_stopped_early(small_study, other):
    plan = warm_plan(small_study)
    study = open_study(plan)
    import_trials(study, plan.warm, plan.space, plan.base)
    number = study.ask().number
    running = study.trials[number]
    assert AmongCurrent(StopsAll(), startup_trials=0).prune(study, running)
    assert not AmongCurrent(StopsAll(), startup_trials=3).prune(study, running)


def test_studies_of_several_objectives_inform_each_other(small_study, study_home):
    weighed = dataclasses.replace(small_study, objective=[OBJECTIVE, COST])
    run(make_plan(weighed, Options(name="before")), (0.1, 0.3))
    plan = warm_plan(weighed)
    assert [told.values for told in plan.warm.informing] == [(0.3, 300), (0.1, 100)]
    study = open_study(plan)
    assert import_trials(study, plan.warm, plan.space, plan.base) == 2
    assert [trial.values for trial in study.best_trials] == [[0.3, 300], [0.1, 100]]
    assert rows(study) == []
    first_alone = warm_plan(small_study)
    assert [told.values for told in first_alone.warm.informing] == [(0.3,), (0.1,)]


def test_a_study_that_lacks_an_objective_is_tried_not_told(small_study, other):
    plan = warm_plan(dataclasses.replace(small_study, objective=[OBJECTIVE, COST]))
    assert (plan.warm.informing, len(plan.warm.trying)) == ((), 3)
    assert plan.warm.reason == f"it has no {COST}"
    study = open_study(plan)
    assert import_trials(study, plan.warm, plan.space, plan.base) == 3
    proposal = Ledger(study, plan.rules(), plan.folder.ray).ask("a")
    assert proposal.settings == dict(plan.warm.trying[0].settings)


def test_an_objective_that_was_no_number_is_not_told(small_study, study_home):
    run(make_plan(small_study, Options(name="before")), (0.1, 0.3), **{COST: math.nan})
    plan = warm_plan(dataclasses.replace(small_study, objective=[OBJECTIVE, COST]))
    assert (plan.warm.informing, len(plan.warm.trying)) == ((), 2)
    assert import_trials(open_study(plan), plan.warm, plan.space, plan.base) == 2

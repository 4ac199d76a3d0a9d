"""Each model has its own number of trials, whatever other calls and other models had."""

from __future__ import annotations

from collections import Counter

import pytest

from mmsr.study import Float, Int, Study
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.opening import open_study_of
from mmsr.study.driver.proposals import Exhausted
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.search.share import EvenHours, EvenTrials, ModelTrial
from mmsr.study.storage import database
from mmsr.study.storage.progress import add_exhausted, is_over
from mmsr.study.workers.messages import Report

RATE = {"training.learning_rate": Float(1e-4, 1e-2, log=True)}
LAYERS = {"model.layers": Int(1, 2)}


@pytest.fixture
def run(study_home):
    """Run a study of models as far as it goes; returns its plan, study, ledger and trials."""

    def make(models, trials):
        study = Study(dataset="shop", name="many", models=models, trials=trials, epochs=2)
        plan = make_plan(study, Options())
        plan.folder.path.mkdir(parents=True, exist_ok=True)
        stored = open_study_of(plan, database.open_storage(plan.storage))
        ledger = Ledger(stored, plan.rules(), plan.folder.ray)
        found = Counter()
        for _ in range(plan.trials - plan.progress(stored).over):
            try:
                name = ledger.ask("r").config.model.name
            except Exhausted:
                break
            metrics = {plan.objective: 0.1}
            ledger.report(
                "r",
                Report(epoch=2, metrics=metrics, best_epoch=2, best_metrics=metrics, finished=True),
            )
            found[name] += 1
        return plan, stored, ledger, found

    return make


def test_a_model_that_has_more_trials_takes_none_from_the_others(run):
    run({"gru4rec": RATE}, 4)
    plan, study, _, found = run({"gru4rec": RATE, "sasrec": RATE}, 4)
    assert found == {"sasrec": 2}
    assert plan.progress(study).is_complete
    assert plan.progress(study).over == 4
    assert is_over(study), "its target counts all six"


def test_the_rest_of_an_exhausted_model_goes_to_no_other_and_the_study_is_complete(run):
    models = {"gru4rec": LAYERS, "sasrec": RATE}
    plan, study, ledger, found = run(models, 8)
    assert found == {"gru4rec": 2, "sasrec": 4}
    assert ledger.exhausted_models == {"gru4rec"}
    assert not plan.progress(study).is_complete, "it is not recorded yet"
    add_exhausted(study, ledger.exhausted_models)
    assert plan.progress(study).is_complete
    assert is_over(study)
    wider, study, _, found = run({**models, "sr_gnn": RATE}, 12)
    assert found == {"sr_gnn": 4}
    assert wider.progress(study).is_complete
    more = make_plan(
        Study(dataset="shop", name="many", models=models, trials=10, epochs=2), Options()
    )
    assert not more.progress(study).is_complete, "sasrec lacks a trial"


def test_each_model_has_a_quota_of_its_own():
    ended = ModelTrial(over=True, value=0.1, hours=1.0)
    share = EvenTrials().limited(EvenTrials().quota(3, 7))
    assert share.each == 3
    trials = {"a": [ended] * 5, "b": [ended] * 2, "c": [ended] * 3}
    assert share.next_model(trials) == "b"
    assert share.next_model({**trials, "b": [ended] * 3}) is None
    assert EvenHours().quota(3, 7) is None


def test_a_model_that_fails_at_once_does_not_get_all_trials_by_hours():
    failed = ModelTrial(over=True, value=None, hours=0.0, failed=True)
    trials = {"a": [], "b": []}
    for _ in range(10):
        name = EvenHours().next_model(trials)
        one = failed if name == "a" else ModelTrial(over=True, value=0.1, hours=2.0)
        trials[name].append(one)
    assert {name: len(own) for name, own in trials.items()} == {"a": 5, "b": 5}

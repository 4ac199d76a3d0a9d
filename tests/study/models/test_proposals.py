"""Trials of several models in one study, against Optuna and without Ray."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import datetime, timedelta

import optuna
import pytest
from optuna.trial import TrialState

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study import Choice, Float, Halving, Hyperband, Int, ModelHalving, Study, Tpe
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.opening import open_study_of
from mmsr.study.driver.proposals import Exhausted, Waiting
from mmsr.study.driver.turns import models_trials
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.search.per_model import PerModelPruner, own_trials
from mmsr.study.storage import database
from mmsr.study.storage.attributes import INVALID, MODEL
from mmsr.study.storage.outside import model_of
from mmsr.study.storage.progress import counted
from mmsr.study.storage.trials import rows
from mmsr.study.workers.messages import Report

optuna.logging.set_verbosity(optuna.logging.ERROR)
OBJECTIVE = "valid/mrr@20"
RATE = "training.learning_rate"
SPACES = {
    "gru4rec": {RATE: Float(1e-4, 1e-2, log=True), "model.layers": Int(1, 2)},
    "sasrec": {RATE: Float(1e-5, 1e-3, log=True), "training.loss.name": Choice("bce", "softmax")},
}


@pytest.fixture
def opened(study_home):
    """A driver of a study of several models, on the storage of the test's home."""

    def open_it(models=SPACES, *, name="many", options=None, **declared):
        declared = {"trials": 12, "epochs": 2, **declared}
        study = Study(dataset="shop", name=name, models=models, **declared)
        plan = make_plan(study, options or Options())
        plan.folder.path.mkdir(parents=True, exist_ok=True)
        stored = open_study_of(plan, database.open_storage(plan.storage))
        ledger = Ledger(stored, plan.rules(), plan.folder.ray)
        ledger.reclaim()
        return plan, stored, ledger

    return open_it


def report(epoch, value, *, finished=True, seconds=60.0):
    metrics = {OBJECTIVE: value}
    return Report(
        epoch=epoch,
        metrics=metrics,
        best_epoch=epoch,
        best_metrics=metrics,
        finished=finished,
        seconds=seconds,
    )


def value_of(config):
    return {"gru4rec": 0.1, "sasrec": 0.2}.get(config.model.name, 0.3)


def run(ledger, n_trials, seconds=None):
    """Run trials one after the other; returns their proposals."""
    found = []
    for _ in range(n_trials):
        proposal = ledger.ask("r")
        name = proposal.config.model.name
        ledger.report(
            "r", report(1, value_of(proposal.config), seconds=(seconds or {}).get(name, 1))
        )
        found.append(proposal)
    return found


def names(proposals):
    return [proposal.config.model.name for proposal in proposals]


def test_trials_go_round_known_settings_first_each_with_its_own_space(opened):
    plan, study, ledger = opened()
    found = run(ledger, 8)
    assert names(found) == ["gru4rec", "sasrec"] * 4
    known = {one.model: len(one.known) for one in plan.models}
    assert min(known.values()) >= 1
    for name, space in SPACES.items():
        own = [proposal for proposal in found if proposal.config.model.name == name]
        origins = [proposal.origin for proposal in own]
        assert origins == ["known"] * known[name] + ["proposed"] * (4 - known[name])
        for proposal in own:
            assert proposal.settings.keys() == space.keys()
            assert all(space[key].contains(value) for key, value in proposal.settings.items())
    stored = study.get_trials()
    assert {trial.user_attrs[MODEL] for trial in stored} == set(SPACES)
    for trial in stored:
        assert {name.split("/")[0] for name in trial.params} == {trial.user_attrs[MODEL]}
    assert [row.model for row in rows(study)] == names(found)
    assert all(
        row.settings == proposal.settings for row, proposal in zip(rows(study), found, strict=True)
    )


def test_the_first_known_settings_are_the_authors(opened):
    _, _, ledger = opened(["sasrec", "sr_gnn"], base={"training.batch_size": 32})
    first, second = run(ledger, 2)
    for proposal in (first, second):
        authors = type(proposal.config.model).known_settings()[0]
        flat = proposal.config.flat()
        assert {key: flat[key] for key in authors} == dict(authors)


def test_two_drivers_one_after_the_other_hand_out_as_one_does(opened):
    _, _, ledger = opened(name="one")
    whole = run(ledger, 8)
    _, _, first = opened(name="two")
    begun = run(first, 3)
    first.ask("left running")
    _, study, second = opened(name="two")
    rest = run(second, 5)
    assert rest[0].origin == "retry", "the trial of the killed driver comes first"
    assert names(begun) + names(rest) == names(whole)
    assert Counter(trial.user_attrs[MODEL] for trial in counted(study)) == {
        "gru4rec": 4,
        "sasrec": 4,
    }
    assert all(trial.user_attrs[MODEL] == model_of(trial) for trial in study.get_trials())
    for ours, theirs in zip(begun, whole, strict=False):
        assert ours.settings == theirs.settings, "the same study and seed propose the same"


def test_another_seed_proposes_otherwise_and_models_differ_in_theirs(opened):
    models = {name: {RATE: Float(1e-4, 1e-2, log=True)} for name in ("gru4rec", "sasrec")}

    def rates(seed):
        _, _, ledger = opened(models, name=f"seed-{seed}", seed=seed)
        return [one.settings[RATE] for one in run(ledger, 6) if one.origin == "proposed"]

    first, second = rates(1), rates(2)
    assert len({*first, *second}) == len(first) + len(second)


def test_a_sampler_sees_the_trials_of_its_model_alone(opened):
    seen = []

    class Watching(Tpe):
        def build(self, seed, already, n_objectives=1):
            class Sampler(optuna.samplers.RandomSampler):
                def infer_relative_search_space(self, study, trial):
                    shown = study.get_trials(deepcopy=False)
                    seen.append((model_of(trial), {model_of(one) for one in shown}, len(shown)))
                    return {}

            return Sampler(seed=seed)

    _, _, ledger = opened(sampler=Watching())
    run(ledger, 6)
    assert seen[-2:] == [("gru4rec", {"gru4rec"}, 3), ("sasrec", {"sasrec"}, 3)]


def test_trials_are_stopped_early_by_comparison_with_their_own_model(opened):
    pruner = Halving(first_rung=1, factor=2, startup_trials=1)
    _, study, ledger = opened(pruner=pruner)
    assert isinstance(study.pruner, PerModelPruner)
    for value in (0.9, 0.1, 0.8, 0.2):  # gru4rec, sasrec, gru4rec, sasrec
        ledger.ask("a")
        if ledger.report("a", report(1, value, finished=False)):
            break
        ledger.report("a", report(2, value))
    states = [trial.state for trial in study.get_trials()]
    assert states == [
        TrialState.COMPLETE,
        TrialState.COMPLETE,  # worse than any of gru4rec, but the first of its model
        TrialState.PRUNED,
    ]
    ledger.ask("b")
    assert not ledger.report("b", report(1, 0.2, finished=False)), "better than sasrec's other one"


def test_every_model_has_trials_in_all_brackets_of_hyperband(opened):
    pruner = Hyperband(first_rung=1, factor=2)
    shares = pruner.shares(2)
    assert sum(shares) % len(SPACES) == 0, "else the turns would meet all brackets by themselves"
    _, study, ledger = opened(pruner=pruner)
    run(ledger, 12)
    brackets = pruner.build(2)._pruner
    found = {
        (trial.user_attrs[MODEL], brackets.brackets_in(own_trials(study, trial))(trial))
        for trial in study.get_trials()
    }
    assert found == {(name, place) for name in SPACES for place in range(len(shares))}


def test_a_trial_stays_in_its_bracket_whatever_models_are_added(opened):
    brackets = Hyperband(first_rung=1, factor=2).build(2)._pruner

    def dealt(study):
        return [brackets.brackets_in(own_trials(study, t))(t) for t in study.get_trials()]

    _, study, ledger = opened()
    run(ledger, 6)
    before = dealt(study)
    study.enqueue_trial({"other/training.learning_rate": 0.1})
    assert dealt(study)[:6] == before


def test_equal_hours_give_a_fast_model_more_trials(opened):
    _, study, ledger = opened(share="hours")
    run(ledger, 8, {"gru4rec": 60.0, "sasrec": 180.0})
    begun = Counter(trial.user_attrs[MODEL] for trial in study.get_trials())
    assert begun == {"gru4rec": 6, "sasrec": 2}


def test_hours_of_running_trials_are_counted_from_their_start(opened):
    plan, study, ledger = opened()
    run(ledger, 2, {"gru4rec": 360.0, "sasrec": 720.0})
    ledger.ask("live")
    later = study.get_trials()[-1].datetime_start + timedelta(hours=2)
    found = models_trials(study, plan.rules(), later)
    hours = {name: [one.hours for one in trials] for name, trials in found.items()}
    assert hours == {"gru4rec": [0.1, pytest.approx(2.0)], "sasrec": [0.2]}
    assert [one.over for one in found["gru4rec"]] == [True, False]


def test_halving_over_models_survives_a_killed_driver(opened):
    models = {**SPACES, "sr_gnn": {RATE: Float(1e-4, 1e-2, log=True)}}
    share = ModelHalving(first_round=2)
    _, _, ledger = opened(models, share=share)
    assert names(run(ledger, 6)) == ["gru4rec", "sasrec", "sr_gnn"] * 2
    _, _, ledger = opened(models, share=share)
    assert names(run(ledger, 3)) == ["sasrec", "sr_gnn", "sasrec"], "gru4rec is the worst"
    ledger.ask("left running")
    _, study, ledger = opened(models, share=share)
    for runner in "abcde":
        ledger.ask(runner)
    with pytest.raises(Waiting):
        ledger.ask("one too many")
    for place, runner in enumerate(ledger.live):
        ledger.report(runner, report(1, 0.5 + place / 10))
    assert ledger.ask("next").config.model.name == study.best_trial.user_attrs[MODEL]
    assert not ledger.exhausted
    assert not any(trial.user_attrs[MODEL] == "gru4rec" for trial in study.get_trials()[6:])


def test_a_study_ends_when_the_spaces_of_all_models_are_exhausted(opened):
    layers = {"model.layers": Int(1, 2)}
    _, study, ledger = opened({"gru4rec": layers, "sasrec": {"model.layers": Int(1, 4)}})
    found = run(ledger, 6)
    assert Counter(names(found)) == {"gru4rec": 2, "sasrec": 4}
    with pytest.raises(Exhausted):
        ledger.ask("more")
    assert ledger.exhausted
    ran = [trial for trial in study.get_trials() if INVALID not in trial.user_attrs]
    assert len(ran) == 6


def test_trials_of_models_that_are_not_listed_now_do_not_count(opened):
    plan, study, ledger = opened(trials=4)
    run(ledger, 4)
    assert plan.progress(study).is_complete
    wider, study, ledger = opened({**SPACES, "sr_gnn": None}, trials=6)
    assert not wider.progress(study).is_complete
    assert names(run(ledger, 2)) == ["sr_gnn", "sr_gnn"]
    assert wider.progress(study).is_complete
    one, study, _ = opened({"sr_gnn": None}, trials=2)
    assert one.progress(study).is_complete
    assert database.read_definition(study).models == ("gru4rec", "sasrec", "sr_gnn")


def test_another_space_of_one_of_the_models_is_another_study(opened):
    opened()
    changed = {**SPACES, "sasrec": {RATE: Float(1e-5, 1e-3, log=True)}}
    with pytest.raises(UserError, match=r"model sasrec: .*training\.loss\.name"):
        opened(changed)
    alone = Study(dataset="shop", name="many", trials=2, space=SPACES["gru4rec"])
    plan = make_plan(alone, Options())
    with pytest.raises(UserError, match="models= was gru4rec, sasrec and is not given"):
        open_study_of(plan, database.open_storage(plan.storage))


def test_a_trial_from_outside_says_its_model_by_its_parameters(opened):
    _, study, ledger = opened()
    study.enqueue_trial({f"sasrec/{RATE}": 5e-4, "sasrec/training.loss.name": "bce"})
    study.enqueue_trial({RATE: 5e-4})
    study.enqueue_trial({f"gru4rec/{RATE}": 5.0})
    proposal = ledger.ask("a")
    assert proposal.config.model.name == "sasrec"
    assert proposal.config.flat()[RATE] == 5e-4
    assert ledger.ask("b").config.model.name == "gru4rec", "sasrec has begun one more"
    refused = [trial.user_attrs.get(INVALID) for trial in study.get_trials()][1:3]
    assert "name all parameters MODEL/KEY" in refused[0]
    assert "outside the space" in refused[1]


def test_a_budget_of_threads_reaches_all_models(opened):
    plan, _, _ = opened()
    more = plan.with_resources(dataclasses.replace(plan.resources, cpu=3))
    assert {one.base.training.threads for one in more.models} == {3}
    assert isinstance(more.models[0].base, Config)


def test_begun_trials_are_read_in_their_order(opened):
    plan, study, ledger = opened()
    run(ledger, 3)
    found = models_trials(study, plan.rules(), datetime.now())
    assert {name: [one.value for one in trials] for name, trials in found.items()} == {
        "gru4rec": [0.1, 0.1],
        "sasrec": [0.2],
    }

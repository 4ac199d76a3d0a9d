"""Studies of several objectives: what is refused, how trials end, the front, what is exported."""

from __future__ import annotations

import dataclasses
import io

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from mmsr.config import Config
from mmsr.console import Console
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.study import Grid, Int, Nsga2, Random, Tpe
from mmsr.study.driver.ledger import Ledger
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.planning.rules import Rules
from mmsr.study.results.pareto import front_table, pareto_front
from mmsr.study.search.objectives import directions, in_words, read_objectives, shown
from mmsr.study.storage.lineage import curve_of
from mmsr.study.storage.progress import counted
from mmsr.study.storage.trials import best, ranked, rows
from mmsr.study.views.tables import show_front
from mmsr.study.workers.messages import Report
from mmsr.training.epoch_cost import OPERATIONS, PARAMETERS, epoch_cost

optuna.logging.set_verbosity(optuna.logging.ERROR)
QUALITY, COST = "valid/mrr@20", "cost/parameters"
OBJECTIVES = (QUALITY, COST)
BASE = Config(dataset="shop")


@pytest.fixture
def study():
    return optuna.create_study(
        directions=directions(OBJECTIVES), sampler=optuna.samplers.RandomSampler(seed=0)
    )


@pytest.fixture
def ledger_of(study, tmp_path):
    def make(space=None, **options):
        space = space or {"model.width": Int(1, 1000)}
        return Ledger(study, Rules(space, BASE, QUALITY, (COST,)), tmp_path, **options)

    return make


def report(epoch, quality, cost=None, *, best_quality=None, finished=False):
    metrics = {QUALITY: quality} | ({} if cost is None else {COST: cost})
    best_metrics = metrics | ({} if best_quality is None else {QUALITY: best_quality})
    return Report(
        epoch=epoch, metrics=metrics, best_epoch=1, best_metrics=best_metrics, finished=finished
    )


def finish(ledger, runner, quality, cost):
    ledger.ask(runner)
    assert ledger.report(runner, report(1, quality, cost, finished=True))


def test_a_trial_ends_with_all_objectives_of_its_best_epoch(study, ledger_of):
    ledger = ledger_of()
    ledger.ask("a")
    assert not ledger.report("a", report(1, 0.3, 10))
    assert ledger.report("a", report(2, 0.2, 10, best_quality=0.3, finished=True))
    (trial,) = study.trials
    assert (trial.state, trial.values) == (TrialState.COMPLETE, [0.3, 10])
    assert curve_of(trial) == {1: 0.3, 2: 0.2}
    assert [row.value for row in rows(study)] == [0.3]


@pytest.mark.parametrize("cost", [None, float("nan"), float("inf")])
def test_an_objective_that_is_missing_in_the_end_fails_the_trial(study, ledger_of, cost):
    ledger = ledger_of()
    ledger.ask("a")
    assert not ledger.report("a", report(1, 0.3))
    assert ledger.report("a", report(2, 0.3, cost, finished=True))
    assert study.trials[0].state == TrialState.FAIL
    assert COST in study.trials[0].user_attrs["outcome"]["error"]


def test_a_trial_that_was_cut_off_keeps_its_curve(study, ledger_of, tmp_path):
    ledger = ledger_of()
    ledger.ask("a")
    for epoch in (1, 2, 3):
        ledger.report("a", report(epoch, epoch / 10, 5))
    folder = tmp_path / "trial-00000" / "checkpoint_000002"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(report(2, 0.2, 5).model_dump_json())
    later = ledger_of()
    assert later.reclaim() == 1
    proposal = later.ask("b")
    assert (proposal.checkpoint, proposal.curve) == (folder, {1: 0.1, 2: 0.2})
    later.report("b", report(3, 0.4, 5, finished=True))
    (over,) = counted(study)
    assert (over.values, curve_of(over)) == ([0.4, 5], {1: 0.1, 2: 0.2, 3: 0.4})


@pytest.mark.parametrize("sampler", [Tpe(3), Nsga2(3), Random(), Grid()], ids=str)
def test_every_method_for_several_objectives(sampler, tmp_path):
    space = {"model.width": Int(1, 12)}
    sampler.check(space, 2)
    study = optuna.create_study(
        directions=directions(OBJECTIVES), sampler=sampler.build(0, 0, n_objectives=2)
    )
    rules = Rules(space, BASE, QUALITY, (COST,), systematic=sampler.systematic)
    ledger = Ledger(study, rules, tmp_path)
    for runner in map(str, range(12)):
        width = ledger.ask(runner).config.model.width
        ledger.report(runner, report(1, width / 99, width, finished=True))
    assert len({trial.params["model.width"] for trial in counted(study)}) == 12


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12
    )
)
def test_the_front_is_optunas(values):
    objectives = (QUALITY, "valid/robust_auc", COST)
    study = optuna.create_study(directions=directions(objectives))
    for found in values:
        trial = optuna.trial.create_trial(
            values=found,
            user_attrs={
                "outcome": {"best_metrics": dict(zip(objectives, found, strict=True))},
                "config": BASE.to_dict(),
            },
        )
        study.add_trial(trial)
    front = pareto_front(rows(study), objectives)
    assert {row.number for row in front} == {trial.number for trial in study.best_trials}
    assert [row.value for row in front] == sorted((row.value for row in front), reverse=True)
    assert ranked(rows(study), objectives)[0] == front[0], "ties are broken by the others"


def test_the_front_as_it_is_shown_and_which_trial_is_taken(study, ledger_of):
    ledger = ledger_of()
    for runner, quality, cost in (("a", 0.3, 2e6), ("b", 0.2, 1e3), ("c", 0.1, 1e6)):
        finish(ledger, runner, quality, cost)
    found = rows(study)
    console = Console(file=io.StringIO(), width=120)
    show_front(found, OBJECTIVES, console, finished=3)
    text = console.file.getvalue()
    assert "2 of 3 finished trials" in text
    assert "30.000" in text
    assert "2 M" in text
    assert "10.000" not in text
    assert "take trial 0, the best in valid/mrr@20" in text
    by_number = {row.number: row for row in found}.__getitem__
    assert best(found, OBJECTIVES, by_number, "x")[0].number == 0
    assert best(found, OBJECTIVES, by_number, "x", trial=2)[0].number == 2
    with pytest.raises(UserError, match=r"--trial 7: .*best first: 0, 1, 2"):
        best(found, OBJECTIVES, by_number, "x", trial=7)
    table = front_table(found, OBJECTIVES).splitlines()
    assert table[0].startswith(f"trial,{','.join(OBJECTIVES)},best_epoch,")
    assert [line.partition(",")[0] for line in table[1:]] == ["0", "1"]
    assert front_table(found, (QUALITY,)) is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "objective=[]"),
        ("cost/parameters", "unknown objective 'cost/parameters'"),
        (["cost/parameters", QUALITY], "unknown objective 'cost/parameters'"),
        ([QUALITY, "cost/parameter"], "did you mean 'cost/parameters'"),
        ([QUALITY, "test/mrr@20"], "objective 'test/mrr@20': test is closed to trials"),
        ([QUALITY, QUALITY], "named twice"),
        ([QUALITY, 3], "unknown objective '3'"),
    ],
)
def test_wrong_objectives_are_refused(given, told):
    with pytest.raises(UserError) as error:
        read_objectives(given)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_objectives_in_words():
    assert in_words([QUALITY]) == "maximising valid/mrr@20"
    assert in_words([*OBJECTIVES, "valid/robust_auc"]) == (
        "maximising valid/mrr@20 against less cost/parameters, more valid/robust_auc"
    )
    assert shown("cost/epoch_operations", 1.5e12) == "1.5 T"
    assert shown("time/train_seconds", 12.345) == "12.3 s"
    assert shown("cost/parameters", 7) == "7"


def test_a_plan_of_several_objectives(small_study, study_home):
    study = dataclasses.replace(small_study, objective=[QUALITY, "valid/robust_auc", COST])
    plan = make_plan(study, Options())
    assert (plan.objective, plan.against) == (QUALITY, ("valid/robust_auc", COST))
    assert plan.pruner is None
    assert plan.base.training.robust_auc
    assert plan.base.training.select_by == QUALITY
    assert make_plan(study, Options(pruner="none")).pruner is None
    with pytest.raises(UserError, match="no trial is stopped early"):
        make_plan(study, Options(pruner="halving"))
    for sampler in ("cmaes", "gp"):
        with pytest.raises(UserError, match="one objective"):
            make_plan(study, Options(sampler=sampler))
    other = dataclasses.replace(study, objective=[QUALITY, "valid/robust_auc"])
    assert "against was" in plan.definition.difference(make_plan(other, Options()).definition)


def test_costs_follow_from_the_config(study_home):
    dataset = Dataset.open("shop")

    def cost(**changes):
        settings = {"model.width": 8, "training.batch_size": 64, "training.threads": 1, **changes}
        return epoch_cost(Config(dataset="shop").replace(settings), dataset)

    first = cost()
    assert first == cost(**{"training.learning_rate": 0.5, "training.epochs": 3})
    dearer = cost(**{"model.width": 16, "model.layers": 2})
    assert dearer[PARAMETERS] > first[PARAMETERS]
    assert dearer[OPERATIONS] > 2 * first[OPERATIONS]
    # The output layer alone takes 6 operations for each width, item and example.
    assert first[OPERATIONS] > 6 * 8 * dataset.n_items * len(dataset.train())

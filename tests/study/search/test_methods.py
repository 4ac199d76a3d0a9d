"""Search methods and pruners: what they propose, what they refuse, what they stop."""

from __future__ import annotations

import math
from collections import Counter

import optuna
import pytest
from optuna.trial import TrialState

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study import (
    Choice,
    CmaEs,
    Float,
    Gp,
    Grid,
    Halving,
    Hyperband,
    Int,
    Median,
    Nsga2,
    Random,
    Tpe,
)
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.proposals import Exhausted
from mmsr.study.planning.rules import Rules
from mmsr.study.search import PRUNERS, SAMPLERS
from mmsr.study.search.pruners import chosen_pruner
from mmsr.study.search.samplers import chosen_sampler
from mmsr.study.workers.messages import Failure, Report

optuna.logging.set_verbosity(optuna.logging.ERROR)
OBJECTIVE = "valid/mrr@20"
BASE = Config(dataset="shop")
NUMBERS = {
    "model.width": Int(1, 64),
    "model.dropout": Float(0.0, 0.9),
    "training.learning_rate": Float(1e-4, 1e-1, log=True),
}
CONDITIONAL = {
    "model.fusion": Choice("adaptive", "early"),
    "model.aggregator.name": Choice("dual_attention", "gat", "gcn"),
    "model.aggregator.order": Choice(
        "gated",
        "hohe",
        when={"model.aggregator.name": "dual_attention", "model.fusion": "adaptive"},
    ),
    "model.aggregator.heads": Choice(1, 2, when={"model.aggregator.name": "gat"}),
    "model.layers": Int(1, 2),
}
N_CONDITIONAL = 2 * (2 + 1 + 2 * 2 + 2)
"""Layers, times: orders of dual attention under either fusion, heads of gat and gcn under both."""


def study_of(sampler, name="study", seed=0, pruner=None):
    return optuna.create_study(
        study_name=name, direction="maximize", sampler=sampler.build(seed, 0), pruner=pruner
    )


def report(epoch, value, finished=False):
    metrics = {OBJECTIVE: value}
    return Report(
        epoch=epoch, metrics=metrics, best_epoch=epoch, best_metrics=metrics, finished=finished
    )


def ledger_of(study, space, tmp_path, systematic=False):
    return Ledger(study, Rules(space, BASE, OBJECTIVE, systematic=systematic), tmp_path)


def value_of(config):
    """Best at width 40, dropout 0.3 and rate 0.01; in [0, 1]."""
    return math.exp(
        -(((config.model.width - 40) / 20) ** 2)
        - ((config.model.dropout - 0.3) / 0.3) ** 2
        - math.log10(config.training.learning_rate / 0.01) ** 2
    )


def search(sampler, space, n, tmp_path, seed=0):
    """Configs of `n` trials, one after the other."""
    study = study_of(sampler, seed=seed)
    ledger = ledger_of(study, space, tmp_path, systematic=sampler.systematic)
    configs = []
    for number in range(n):
        try:
            proposal = ledger.ask(str(number))
        except Exhausted:
            break
        configs.append(proposal.config)
        ledger.report(str(number), report(1, value_of(proposal.config), finished=True))
    return configs


EXAMPLES = {
    "tpe": Tpe(4),
    "gp": Gp(4),
    "cmaes": CmaEs(),
    "nsga2": Nsga2(4),
    "random": Random(),
    "grid": Grid(),
}
"""One of each search method."""
PRUNER_EXAMPLES = {
    "halving": Halving(first_rung=1, startup_trials=0),
    "hyperband": Hyperband(startup_trials=0),
    "median": Median(first_epoch=1, startup_trials=0),
    "none": None,
}


def test_every_method_and_pruner_is_tested():
    assert {name: type(one) for name, one in EXAMPLES.items()} == dict(SAMPLERS)
    kinds = {name: one and type(one) for name, one in PRUNER_EXAMPLES.items()}
    assert kinds == dict(PRUNERS)


def examples(trait, wanted=True):
    """Search methods that have a trait, or have it not; the Gaussian process is slow."""
    return [
        pytest.param(one, marks=pytest.mark.slow if isinstance(one, Gp) else ())
        for one in EXAMPLES.values()
        if getattr(one, trait) is wanted
    ]


@pytest.mark.parametrize("sampler", examples("systematic", False), ids=str)
def test_proposals_follow_from_the_seed(sampler, tmp_path):
    first = search(sampler, NUMBERS, 6, tmp_path)
    assert search(sampler, NUMBERS, 6, tmp_path) == first
    assert search(sampler, NUMBERS, 6, tmp_path, seed=1) != first


@pytest.mark.parametrize(
    ("sampler", "trials"),
    [(Tpe(8), 30), (CmaEs(), 30), pytest.param(Gp(6), 12, marks=pytest.mark.slow)],
    ids=str,
)
def test_a_model_finds_more_than_chance(sampler, trials, tmp_path):
    def best(method):
        return [
            max(map(value_of, search(method, NUMBERS, trials, tmp_path, seed=seed)))
            for seed in range(3)
        ]

    assert sum(best(sampler)) > sum(best(Random()))


@pytest.mark.parametrize("sampler", examples("conditions"), ids=str)
def test_conditions_hold_under_every_method(sampler, tmp_path):
    sampler.check(CONDITIONAL)
    study = study_of(sampler)
    ledger = ledger_of(study, CONDITIONAL, tmp_path, systematic=sampler.systematic)
    for number in range(14):
        settings = ledger.ask(str(number)).settings
        dual = settings["model.aggregator.name"] == "dual_attention"
        adaptive = settings["model.fusion"] == "adaptive"
        assert ("model.aggregator.order" in settings) == (dual and adaptive)
        assert ("model.aggregator.heads" in settings) == (
            settings["model.aggregator.name"] == "gat"
        )
        ledger.report(str(number), report(1, number / 20, finished=True))


@pytest.mark.parametrize("sampler", examples("conditions"), ids=str)
def test_a_finite_space_is_run_once_whole_and_then_it_is_over(sampler, tmp_path):
    study = study_of(sampler)
    ledger = ledger_of(study, CONDITIONAL, tmp_path, systematic=sampler.systematic)
    seen = []
    for number in range(N_CONDITIONAL):
        seen.append(ledger.ask(str(number)).config)
        if number % 3:  # the others are under way
            ledger.report(str(number), report(1, number / 99, finished=True))
    assert not ledger.exhausted
    assert len({config.to_yaml() for config in seen}) == N_CONDITIONAL
    with pytest.raises(Exhausted):
        ledger.ask("one more")
    assert ledger.exhausted


def test_a_grid_goes_on_where_it_was(tmp_path):
    study = study_of(Grid())
    study.enqueue_trial({"model.fusion": "early", "model.aggregator.name": "gcn"})
    seen = []
    for driver in range(20):
        ledger = ledger_of(study, CONDITIONAL, tmp_path, systematic=True)
        ledger.reclaim()
        for runner in "ab":
            try:
                seen.append(ledger.ask(f"{driver}{runner}"))
            except Exhausted:
                break
        if not ledger.live:
            break
        ledger.report(ledger.live[0], report(1, 0.1, finished=True))
        # the other one is cut off and goes on under the next driver
    first = [proposal.config.to_yaml() for proposal in seen if proposal.origin != "retry"]
    assert (len(first), len(set(first))) == (N_CONDITIONAL, N_CONDITIONAL)
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(complete) == N_CONDITIONAL


def test_settings_that_come_to_the_same_config_are_run_once(tmp_path):
    space = {"graph.n_codes": Int(2, 3), "graph.links_per_item": Int(1, 9)}
    study = study_of(Grid())
    ledger = ledger_of(study, space, tmp_path, systematic=True)
    graphs = [ledger.ask(str(number)).config.graph for number in range(5)]
    with pytest.raises(Exhausted):
        ledger.ask("one more")
    found = [(graph.n_codes, graph.links_per_item) for graph in graphs]
    assert found == [(2, 1), (2, 2), (3, 1), (3, 2), (3, 3)]


def test_enqueued_settings_that_repeat_are_run_once(tmp_path):
    study = study_of(Random())
    for width in (7, 7, 9):
        study.enqueue_trial({"model.width": width})
    ledger = ledger_of(study, {"model.width": Int(1, 99)}, tmp_path)
    widths = [ledger.ask(str(n)).config.model.width for n in range(3)]
    assert widths[:2] == [7, 9]
    assert widths[2] not in (7, 9)


@pytest.mark.parametrize(
    ("sampler", "space", "told"),
    [
        (CmaEs(), CONDITIONAL, "model.aggregator.order exists only under"),
        (Gp(), CONDITIONAL, "model.aggregator.order exists only under"),
        (CmaEs(), {**NUMBERS, "model.fusion": Choice("early", "late")}, "model.fusion is a choice"),
        (CmaEs(), {"model.width": Int(1, 9), "model.layers": Int(1, 1)}, "has model.width"),
        (CmaEs(), {}, "has none"),
        (Grid(), NUMBERS, "model.dropout is continuous: 0 … 0.9; write Float(0, 0.9, step=…)"),
        (Tpe(-1), NUMBERS, "at least 0"),
        (Gp(1.5), NUMBERS, "at least 0"),
        (CmaEs(-1), NUMBERS, "at least 0"),
        (Nsga2(1), NUMBERS, "at least 2"),
    ],
)
def test_a_space_that_a_method_is_not_for_is_refused(sampler, space, told):
    with pytest.raises(UserError, match="sampler") as error:
        sampler.check(space)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_what_a_method_takes():
    single = {**NUMBERS, "model.fusion": Choice("early")}
    met = {**NUMBERS, "model.last_n": Int(1, 3, when={"model.readout": "last_n_attention"})}
    for space in (NUMBERS, single, met):
        CmaEs().check(space)
        Gp().check(space)
    Gp().check({**NUMBERS, "model.fusion": Choice("early", "late")})
    for sampler in (CmaEs(), Gp()):
        with pytest.raises(UserError, match="one objective"):
            sampler.check(NUMBERS, 2)


def test_methods_by_name_keep_the_studys_own_knobs():
    assert chosen_sampler("tpe", Tpe(3)) == Tpe(3)
    assert chosen_sampler("gp", Tpe(3)) == Gp()
    assert chosen_sampler(None, Grid()) == Grid()
    assert chosen_pruner("halving", Halving(first_rung=7)) == Halving(first_rung=7)
    assert chosen_pruner("median", None) == Median()
    assert chosen_pruner("none", Halving()) is None
    assert chosen_pruner(None, None) is None
    words = {str(kind()) for kind in [*SAMPLERS.values(), *filter(None, PRUNERS.values())]}
    assert len(words) == len(SAMPLERS) + len(PRUNERS) - 1


@pytest.mark.parametrize(
    ("pruner", "told"),
    [
        (Halving(first_rung=0), "first_rung"),
        (Hyperband(factor=1), "factor"),
        (Hyperband(startup_trials=-1), "startup_trials"),
        (Median(first_epoch=0), "first_epoch"),
        (Median(startup_trials="4"), "startup_trials"),
    ],
)
def test_knobs_of_pruners_are_checked(pruner, told):
    with pytest.raises(UserError, match=told):
        pruner.check()


def play(pruner, curves, tmp_path, cut_off=()):
    """Epochs that each of some trials gets, all reporting in turn; some are cut off in between.

    Those cut off go on under another driver from their newest checkpoint, here of each epoch.
    """
    study = study_of(Random(), pruner=pruner.build(len(curves[0])))
    ledger = ledger_of(study, {"model.width": Int(1, 10_000)}, tmp_path)
    runner_of = {}
    for trial, _ in enumerate(curves):
        runner_of[trial] = str(trial)
        ledger.ask(str(trial))
    epochs = Counter()
    for epoch in range(1, len(curves[0]) + 1):
        for trial, curve in enumerate(curves):
            if runner_of.get(trial) not in ledger.live:
                continue
            number = ledger._live[runner_of[trial]].proposal.number
            last = epoch == len(curve)
            kept = report(epoch, curve[epoch - 1], finished=last)
            folder = tmp_path / f"trial-{number:05d}" / f"checkpoint_{epoch:06d}"
            folder.mkdir(parents=True)
            (folder / "report.json").write_text(kept.model_dump_json())
            ledger.report(runner_of[trial], kept)
            epochs[trial] = epoch
        if epoch in cut_off:
            key_of = {
                t: ledger._live[r].proposal.key for t, r in runner_of.items() if r in ledger.live
            }
            ledger = ledger_of(study, {"model.width": Int(1, 10_000)}, tmp_path)
            ledger.reclaim()
            asked = {}
            for runner in range(len(key_of)):
                name = f"{epoch}.{runner}"
                asked[ledger.ask(name).key] = name
            runner_of = {trial: asked[key] for trial, key in key_of.items()}
    return [epochs[trial] for trial in range(len(curves))]


CURVES = [
    [quality * (1 - 0.7**epoch) for epoch in range(1, 10)]
    for quality in (0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6, 0.5, 0.1, 0.95)
]


@pytest.mark.parametrize("sampler", examples("conditions", False), ids=str)
def test_a_method_that_takes_no_conditions_names_those_that_do(sampler):
    with pytest.raises(UserError, match="choose tpe, nsga2, random or grid"):
        sampler.check(CONDITIONAL)


@pytest.mark.parametrize("sampler", examples("several_objectives", False), ids=str)
def test_a_method_for_one_objective_names_those_for_several(sampler):
    with pytest.raises(UserError, match="choose tpe, nsga2, random or grid"):
        sampler.check(NUMBERS, 2)


@pytest.mark.parametrize("pruner", [one for one in PRUNER_EXAMPLES.values() if one], ids=str)
def test_being_cut_off_changes_nothing_of_what_is_stopped(pruner, tmp_path):
    undisturbed = play(pruner, CURVES, tmp_path / "a")
    assert play(pruner, CURVES, tmp_path / "b", cut_off=(2, 3, 5)) == undisturbed
    if not isinstance(pruner, Median):  # which has nothing to compare with yet
        assert min(undisturbed) < max(undisturbed) == 9


def test_hyperband_deals_trials_out_by_its_shares():
    pruner = Hyperband(first_rung=1, factor=3)
    assert pruner.shares(9) == (9, 5, 3)
    assert pruner.shares(8) == (3, 2)
    assert Hyperband(first_rung=3).shares(2) == (1,)
    brackets = pruner.build(9)._pruner
    study = study_of(Random())
    for _ in range(17):
        study.ask()
    counts = Counter(map(brackets.brackets_in(study), study.trials))
    assert tuple(counts[bracket] for bracket in range(3)) == (9, 5, 3)


def test_hyperband_gives_a_slow_starter_a_chance_in_a_later_bracket(tmp_path):
    """The same curves in each bracket: the first stops at epoch 1, the last at epoch 9 alone."""
    pruner = Hyperband(first_rung=1, factor=3, startup_trials=0)
    brackets = pruner.build(9)._pruner
    curves, seen = [], Counter()
    study = study_of(Random())
    for _ in range(17):
        study.ask()
    bracket_of = brackets.brackets_in(study)
    for trial in study.trials:
        seen[bracket_of(trial)] += 1
        strong = seen[bracket_of(trial)] == 1
        curves.append([0.5 if strong else 0.1 - trial.number / 1000] * 9)
    epochs = play(pruner, curves, tmp_path)
    weak = {bracket: [] for bracket in range(3)}
    for trial, got, curve in zip(study.trials, epochs, curves, strict=True):
        if curve[0] < 0.5:
            weak[bracket_of(trial)].append(got)
    assert {bracket: set(found) for bracket, found in weak.items()} == {0: {1}, 1: {3}, 2: {9}}


def test_the_median_of_finished_trials_stops_what_is_below(tmp_path):
    pruner = Median(first_epoch=2, startup_trials=3)
    study = study_of(Random(), pruner=pruner.build(3))
    ledger = ledger_of(study, {"model.width": Int(1, 10_000)}, tmp_path)
    for number, value in enumerate((0.1, 0.2, 0.3)):
        ledger.ask(str(number))
        for epoch in (1, 2, 3):
            ledger.report(str(number), report(epoch, value, finished=epoch == 3))
    for runner, value, over in (("low", 0.19, True), ("high", 0.21, False)):
        ledger.ask(runner)
        assert not ledger.report(runner, report(1, value))
        assert ledger.report(runner, report(2, value)) == over


def test_a_trial_that_failed_later_takes_no_place_on_a_rung(tmp_path):
    study = study_of(Random(), pruner=Halving(first_rung=1, factor=2, startup_trials=0).build(9))
    ledger = ledger_of(study, {"model.width": Int(1, 10_000)}, tmp_path)
    for runner, value in (("a", 0.9), ("b", 0.8)):
        ledger.ask(runner)
        ledger.report(runner, report(1, value))
    ledger.fail("a", Failure(error="out of memory", traceback=""))
    ledger.ask("c")
    assert not ledger.report("c", report(1, 0.85)), "of 0.8 and 0.85 the better one goes on"

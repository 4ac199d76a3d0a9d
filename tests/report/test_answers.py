"""The lead of a report answers what to ship, what mattered and what modalities bring."""

from __future__ import annotations

import dataclasses

import pytest

from mmsr.evaluation.knockouts import KnockedOut, Knockouts
from mmsr.report.answers import to_ship, what_mattered, what_modalities_bring
from mmsr.report.facts import Worth, gather
from mmsr.report.importance import Importance
from mmsr.study import Float
from mmsr.study.results.finalized import ConfigFigures, FinalRecord, FinalResult, SeedFigures
from mmsr.study.results.references import ReferenceLine
from mmsr.study.search.objectives import COSTS
from mmsr.study.storage.trials import rows

RECOMMEND = "Recommend with it: `mmsr recommend made-up --history ITEM,ITEM`."


def facts_of(known, best_line=0.01, result=None):
    """The facts with made-up reference lines and test figures."""
    lines = (
        ReferenceLine("popularity", {"mrr@20": best_line / 2}),
        ReferenceLine("EASE", {"mrr@20": best_line}),
        ReferenceLine("item-kNN", None, "too large"),
    )
    final = FinalRecord(result=result)
    return dataclasses.replace(gather(known, intervals=0), lines=lines, final=final)


def refitted(known, trial, error=None):
    (row,) = known.rows([trial])
    figures = ConfigFigures(
        trial=trial,
        epochs=2,
        config=row.stored_config,
        validation={},
        seeds=(SeedFigures(seed=1, trial=0, error=error),),
        mean={},
        std={},
    )
    return FinalResult(
        study=known.name,
        dataset="shop",
        dataset_hash="0" * 64,
        protocol="ratio",
        seeds=(1,),
        configs=(figures,),
    )


def test_the_best_trial_is_shipped_once_the_study_has_ended(made_up):
    ship, recommend = to_ship(facts_of(made_up([0.1, 0.3, 0.2])))
    assert ship.startswith("Ship trial 1: it has the best mrr@20 of 3 finished trials on valid")
    assert "`mmsr study finalize made-up`" in ship
    assert recommend == RECOMMEND


def test_a_study_that_is_left_has_a_model_to_ship_so_far(made_up):
    ship, _ = to_ship(facts_of(made_up([0.1, 0.3], running=1)))
    assert ship.startswith("So far, ship trial 1: ")
    assert "finalize" not in ship, "test is opened when nothing is left to run"


def test_of_several_objectives_the_first_decides(made_up):
    known = made_up([0.1, 0.3], objective=["valid/mrr@20", COSTS[0]])
    ship, _ = to_ship(facts_of(known))
    assert "Ship trial 1" in ship
    assert "Pareto front" in ship


def test_a_finalized_study_ships_its_refit(made_up):
    known = made_up([0.1, 0.3, 0.2])
    ship, recommend = to_ship(facts_of(known, result=refitted(known, 1)))
    assert ship.startswith("Ship the refit of trial 1")
    assert "better" not in ship
    assert recommend == RECOMMEND
    ship, _ = to_ship(facts_of(known, result=refitted(known, 2)))
    assert ship == (
        "Ship the refit of trial 2: the study was finalized with it, and the refit has learnt from "
        "train + validation. Trial 1 is better on validation; the newest finalization does not "
        "have it."
    )


def test_without_a_refit_the_command_takes_the_trial_that_is_shipped(made_up):
    known = made_up([0.1, 0.3, 0.2])
    facts = facts_of(known, result=refitted(known, 2, error="killed"))
    ship, recommend = to_ship(facts)
    assert ship.startswith("Ship trial 1")
    assert "made-up --trial 1 --history" in recommend, "without --trial it looks for the refit"


def test_a_refit_of_another_model_recommends_in_its_own_way(made_up):
    rates = {"training.learning_rate": Float(1e-3, 1e-1, log=True)}
    models = {"bm3": dict(rates), "gru4rec": dict(rates)}
    known = made_up([0.1, 0.3], space=None, enqueue=None, base={}, models=models)
    kinds = {row.model: row.number for row in rows(known.study)}
    for model, how in (("bm3", "--all-users"), ("gru4rec", "--history")):
        _, recommend = to_ship(facts_of(known, result=refitted(known, kinds[model])))
        assert how in recommend


def test_a_study_from_before_trainers_were_recorded_has_mmsrs(made_up):
    known = made_up([0.1, 0.3])
    for trainer, commands in ((None, 2), ("shop.training:train", 0)):
        definition = known.definition.model_copy(update={"trainer": trainer})
        facts = facts_of(dataclasses.replace(known, definition=definition))
        assert " ".join(to_ship(facts)).count("`mmsr ") == commands


def test_nothing_is_shipped_that_a_reference_line_reaches(made_up):
    (ship,) = to_ship(facts_of(made_up([0.1, 0.3]), best_line=0.3))
    assert ship.startswith(
        "Ship none of these models yet: the reference line EASE, which needs no search, is as good"
    )


@pytest.mark.parametrize("change", [{"objective": "test-selected/mrr@20"}, {}])
def test_nothing_is_shipped_without_an_honest_best(made_up, change):
    known = made_up([0.1] if change else ["ValueError: bad"])
    definition = known.definition.model_copy(update=change)
    facts = facts_of(known)
    facts = dataclasses.replace(facts, known=dataclasses.replace(known, definition=definition))
    assert list(to_ship(facts)) == []


def test_a_model_of_users_recommends_for_users(made_up):
    rates = {"training.learning_rate": Float(1e-3, 1e-1, log=True)}
    known = made_up([0.1], space=None, enqueue=None, base={}, models={"bm3": dict(rates)})
    _, recommend = to_ship(facts_of(known))
    assert recommend == "Recommend with it: `mmsr recommend made-up --all-users -o top.parquet`."


def test_three_settings_are_named_with_their_values(made_up):
    facts = facts_of(made_up([0.1, 0.3]))
    codes = facts.best.settings["graph.n_codes"]
    shares = {"graph.n_codes": 0.5, "a": 0.25, "b": 0.15, "c": 0.1}
    none = {"a": 0.0049, "b": 0.0}
    found = [Importance("all 2 trials", 2, shares, {}), Importance("others", 2, {}, {"a": 1.0})]
    every, others = what_mattered(facts, found)
    assert every == (
        "The 3 settings that mattered most, roughly, among all 2 trials: graph.n_codes "
        f"(importance 0.50; trial 1 has {codes}); a (importance 0.25); b (importance 0.15)."
    )
    assert others.startswith("The setting that mattered most, roughly, among others: a (")
    assert list(what_mattered(facts, [Importance("few", 1, {}, {}, why="too few")])) == []
    assert list(what_mattered(facts, [Importance("all", 9, none, {})])) == [], "shown as 0.00"
    (one,) = what_mattered(facts, [Importance("all", 9, {"graph.n_codes": 0.99, **none}, {})])
    assert one.startswith("The setting that mattered most")


def test_what_a_modality_brings_is_said_in_scores():
    def shuffled(name, left, low, high=0.9):
        metrics = {"mrr@20": left}
        given = {"cost": 1 - left / 0.2, "low": low, "high": high}
        return KnockedOut(kind="shuffled", modality=name, label=name, metrics=metrics, **given)

    found = Knockouts(
        metric="mrr@20",
        clean={"mrr@20": 0.2},
        modalities=("image", "text"),
        results=(shuffled("image", 0.19, -0.01), shuffled("text", 0.05, 0.7)),
    )
    image, text, how = what_modalities_bring(Worth(found, 4, "a run"))
    assert "is not shown to fall: it goes from 20.000 % to 19.000 %" in image
    assert text.startswith("Without what text says, mrr@20 of trial 4 on validation falls from 20.")
    assert "to 5.000 %; 75.0 % of it is lost (95 % interval 70.0 … 90.0 %)" in text
    assert "not trained again" in how
    gains = found.model_copy(update={"results": (shuffled("text", 0.21, -0.125, 0.25),)})
    text, _ = what_modalities_bring(Worth(gains, 4, "a run"))
    assert "to 21.000 %; 5.0 % of it is gained (95 % interval -25.0 … 12.5 %)" in text
    none = found.model_copy(update={"results": ()})
    assert list(what_modalities_bring(Worth(none, 4, "a run"))) == []

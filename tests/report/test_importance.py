"""Importance: what matters comes first, and conditional settings and models are kept apart."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from mmsr.report import importance
from mmsr.report.importance import importances
from mmsr.report.sections.settings import order_of
from mmsr.study.storage.attributes import MODEL


def trial(value, model=None, **params):
    kinds = {
        name: CategoricalDistribution(("a", "b"))
        if isinstance(given, str)
        else FloatDistribution(0, 1)
        for name, given in params.items()
    }
    name = {key: key if model is None else f"{model}/{key}" for key in params}
    return optuna.trial.create_trial(
        params={name[key]: params[key] for key in params},
        distributions={name[key]: kinds[key] for key in params},
        value=value,
        user_attrs={} if model is None else {MODEL: model},
    )


def grid(model=None, of=lambda x, y: x, n=6):
    points = [(i / (n - 1), (i * 5 % n) / (n - 1) if n > 5 else 0.5) for i in range(n)]
    some = [(x, y) for x, _ in points for _, y in points]
    return [trial(of(x, y), model, x=x, y=y) for x, y in some]


def test_the_setting_that_decides_comes_first():
    (found,) = importances(grid(), ())
    assert found.n == 36
    assert next(iter(found.ped_anova)) == next(iter(found.fanova)) == "x"
    assert found.fanova["x"] > 0.95
    assert sum(found.fanova.values()) == pytest.approx(1)
    assert sum(found.ped_anova.values()) == pytest.approx(1)
    assert order_of([found]) == ["x", "y"]


def test_models_are_judged_apart():
    trials = grid("one", lambda x, y: x) + grid("two", lambda x, y: y)
    first, second = importances(trials, ("one", "two"))
    assert "of one" in first.subset
    assert "of two" in second.subset
    assert next(iter(first.fanova)) == "x"
    assert next(iter(second.fanova)) == "y"


def test_a_conditional_setting_is_judged_among_those_that_have_it():
    trials = [trial(i % 7 / 10, kind="a", x=i % 6 / 5, depth=i % 7 / 6) for i in range(42)]
    trials += [trial(0.5, kind="b", x=i % 6 / 5) for i in range(12)]
    whole, some = importances(trials, ())
    assert set(whole.fanova) == {"kind", "x"}, "what all trials have"
    assert set(whole.ped_anova) == {"kind", "x", "depth"}
    assert some.subset == "the 42 trials that have depth"
    assert next(iter(some.fanova)) == "depth"
    assert not some.ped_anova


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        ([], "at least 4"),
        ([trial(0.1, x=0.1)] * 3, "at least 4"),
        ([trial(0.1, x=i / 5) for i in range(5)], "the same score"),
        ([trial(i / 9, x=0.5) for i in range(5)], "no setting differs"),
    ],
)
def test_too_little_is_said(trials, why):
    (found,) = importances(trials, ())
    assert why in found.why
    assert not found.ped_anova
    assert not found.fanova


def test_fanova_takes_a_choice_of_many_trials(monkeypatch):
    seen = []
    measured = importance._measured
    monkeypatch.setattr(importance, "MOST_FOR_FANOVA", 20)
    monkeypatch.setattr(importance, "_measured", lambda e, t: seen.append(len(t)) or measured(e, t))
    (found,) = importances(grid(), ())
    assert seen == [36, 20], "PED-ANOVA takes all"
    assert next(iter(found.fanova)) == "x"

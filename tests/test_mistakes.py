"""Wrong literals of a study file are one line that says what to write."""

from __future__ import annotations

import numpy as np
import pytest

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study import (
    Choice,
    Float,
    Gp,
    Grid,
    Halving,
    Hyperband,
    Int,
    Median,
    Nsga2,
    Random,
    Study,
    Tpe,
)
from mmsr.study.planning.checks import check_kinds
from mmsr.study.search.objectives import read_objectives
from mmsr.study.search.space import check_space

BASE = Config(dataset="shop")


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


def check(arguments):
    study = Study(dataset="shop", **arguments)
    check_kinds(study)
    read_objectives(study.objective)
    check_space(study.space or {}, BASE)
    study.sampler.check(study.space or {})
    study.pruner.check()


def refused(**arguments):
    with pytest.raises(UserError) as caught:
        check(arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("dimension", "told"),
    [
        ([32, 64], "write Choice(32, 64)"),
        ((64, 128), "write Choice(64, 128)"),
        (range(1, 10, 3), "write Int(1, 7, step=3)"),
        (64, "or fix the value by base={'model.width': 64}"),
        (np.array([32, 64]), "write Int(…), Float(…) or Choice(…)"),
        (None, "write Int(…), Float(…) or Choice(…)"),
        (Unprintable(), "a value of type Unprintable"),
        (Int, "write Int(…), Float(…) or Choice(…)"),
        (Int(), "Int(…) lacks low: give low=…"),
        (Int(3), "Int(…) lacks high: give high=…"),
        (Int(1, 2, hgih=3), "unknown argument of Int(…) 'hgih': did you mean 'high'?"),
        (Int(1, 2, low=3), "Int(…): low is given twice"),
        (Int(1, 2, 1, False, {}, 6), "Int(…) takes low, high, step, log, when: 6 values"),
        (Int("1", 2), "Int(low='1', high=2, step=1, log=False, when={}): low, high and step must"),
        (Int(np.int64(1), 2), "low, high and step must be whole numbers"),
        (Int(1, 10**400), "low and high must lie within ±9007199254740992"),
        (Int(1, 10**5000), "low and high must lie within ±9007199254740992"),
        (Int(1, 2, log="yes"), "log must be True or False"),
        (Int(1, 2, when=3), "when=3: give a mapping by config key"),
        (Int(1, 2, when={"model.readout": {1}}), "model.readout={1}: give a plain value"),
        (Int(1, 2, when={"model.readout": ()}), "model.readout=(): give a plain value"),
        (Float("0.1", 0.5), "Float(low='0.1', high=0.5, step=None, log=False, when={}): low and"),
        (Float(0.1), "Float(…) lacks high"),
        (Float(float("nan"), 1), "low and high must be finite numbers"),
        (Float(0, float("inf")), "low and high must be finite numbers"),
        (Float(0, 10**400), "low and high must be finite numbers"),
        (Float(-1e308, 1e308), "too far apart"),
        (Float(0, 1, step=1e-300), "step is too small"),
        (Float(0, 1, stp=0.5), "unknown argument of Float(…) 'stp': did you mean 'step'?"),
        (Float(32, 64), "Input should be a valid integer"),
        (Choice(), "there are no options"),
        (Choice({1, 2}), "options must be plain values"),
        (Choice(np.int64(3)), "of numpy's numbers, take .item()"),
        (Choice(10**5000), "options must be plain values"),
        (Choice(float("nan")), "options must be plain values"),
        (Choice(1, True), "two options are the same"),
        (Choice(32, 64, whn={}), "unknown argument of Choice(…) 'whn': did you mean 'when'?"),
        (Choice(None), "Input should be a valid integer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_dimension(dimension, told):
    line = refused(space={"model.width": dimension})
    assert line.startswith("space: model.width")
    assert told in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"sampler": Tpe(startup_trails=3)}, "Tpe(…) 'startup_trails': did you mean"),
        ({"sampler": Tpe(3, 4)}, "Tpe(…) takes startup_trials: 2 values are given"),
        ({"sampler": Gp("8")}, "startup_trials='8': give a whole number of at least 0"),
        ({"sampler": Nsga2(population=10**400)}, "at least 2 and below 2,147,483,648"),
        ({"sampler": Random(seed=3)}, "unknown argument of Random(…) 'seed'; known: none"),
        ({"sampler": Grid(3)}, "Grid(3, …): name every argument"),
        ({"sampler": Tpe}, "give Tpe(…)"),
        ({"pruner": Halving(facter=3)}, "Halving(…) 'facter': did you mean 'factor'?"),
        ({"pruner": Hyperband(first_rung=float("nan"))}, "first_rung=nan: give a whole number"),
        ({"pruner": Median(first_epoch={1})}, "first_epoch={1}: give a whole number"),
        ({"objective": [3]}, "unknown objective '3'"),
        ({"only_enqueued": "no"}, "only_enqueued='no': give True or False"),
        ({"name": 3}, "name=3: give the name of the study"),
        ({"trainer": "a" * 10_000}, "there is no such module"),
        ({"space": Unprintable()}, "space=a value of type Unprintable: give a mapping"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments_of_a_study(arguments, told):
    assert told in refused(**arguments)


def test_right_literals_are_what_they_were():
    assert Int(10, 50, step=10) == Int(low=10, high=50, step=10)
    assert repr(Tpe(startup_trials=3)) == "Tpe(startup_trials=3)"
    assert Choice(32, 64).problem() is None
    assert Int(1, 2, when={"model.readout": ("last", "mean")}).problem() is None
    check({"space": {"model.width": Choice(32, 64)}, "sampler": Tpe(3)})

"""Study files: wrong literals are refused in one line, before anything is scheduled."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmsr.config import Config
from mmsr.study import (
    ALL_MODELS,
    Choice,
    CmaEs,
    Float,
    Gp,
    Grid,
    Halving,
    Hyperband,
    Int,
    Median,
    ModelHalving,
    Nsga2,
    Random,
    Study,
    Tpe,
)
from mmsr.study.planning.checks import check_kinds, n_trials, own_budget, seed_of, time_limit
from mmsr.study.planning.contenders import check_models
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.rules import Contender
from mmsr.study.search.objectives import read_objectives
from mmsr.study.search.space import check_settings, check_space
from mmsr.study.views.dry_run import describe_size
from mmsr.study.workers.resources import read_resources

from .harness import KEYS, keys, numbers, plain, refused, texts

SHOP = Config(dataset="shop")


class Unprintable:
    """What even `repr` fails on."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


strange = st.sampled_from(
    [
        {1, 2},
        (1, 2),
        b"ab",
        np.int64(3),
        np.float32(0.1),
        np.float64(0.1),
        np.array([1, 2]),
        np.bool_(True),
        range(4),
        object(),
        Int,
        print,
        1j,
    ]
)
values = numbers | plain | strange | st.builds(Unprintable)
whens = st.just({}) | st.dictionaries(keys, values | st.tuples(values, values), max_size=2) | values
ARGUMENTS = [
    "low",
    "high",
    "step",
    "log",
    "when",
    "hgih",
    "options",
    "startup_trials",
    "factor",
    "first_rung",
    "facter",
    "population",
    "first_epoch",
    "x",
]


def calls(kinds: list[type]) -> st.SearchStrategy[Any]:
    """Objects of these classes, from arguments right and wrong."""
    return st.builds(
        lambda kind, positional, named: kind(*positional, **named),
        st.sampled_from(kinds),
        st.lists(values, max_size=3),
        st.dictionaries(st.sampled_from(ARGUMENTS), values, max_size=2),
    )


dimensions = (
    st.builds(
        lambda a, b, step, when: Int(a, b, step=step, when=when),
        values,
        values,
        st.just(1) | values,
        whens,
    )
    | st.builds(
        lambda a, b, step, log, when: Float(a, b, step=step, log=log, when=when),
        values,
        values,
        st.none() | values,
        st.booleans() | values,
        whens,
    )
    | st.builds(
        lambda options, when: Choice(*options, when=when), st.lists(values, max_size=4), whens
    )
    | calls([Int, Float, Choice])
    | values
)


def check_whole_space(space: Any) -> None:
    check_kinds(Study(dataset="shop", space=space))
    check_space(space, SHOP)
    describe_size(space)


@settings(max_examples=2500)
@given(st.dictionaries(st.sampled_from(KEYS) | keys, dimensions, min_size=1, max_size=3))
@example({"model.width": [32, 64]})
@example({"model.dropout": Float("0.1", 0.5)})
@example({"model.width": Int(1, 10**400)})
@example({"model.width": Float(32, 64)})
def test_spaces(space):
    refused(check_whole_space, space)


ENQUEUED = {
    "model.width": Int(8, 64),
    "model.dropout": Float(0, 0.5),
    "graph.modalities": Choice(None, ["image"]),
    "model.last_n": Int(1, 5, when={"model.readout": "last"}),
}


@settings(max_examples=600)
@given(st.dictionaries(st.sampled_from([*ENQUEUED, "model.layers"]), values, max_size=3))
def test_settings_to_try_first(tried):
    refused(check_settings, ENQUEUED, SHOP, tried)


FIELDS = [
    "dataset",
    "name",
    "objective",
    "trials",
    "epochs",
    "resources",
    "trial_hours",
    "base",
    "enqueue",
    "only_enqueued",
    "sampler",
    "pruner",
    "hours",
    "cpu_hours",
    "gpu_hours",
    "warm_start",
    "seed",
    "trainer",
    "space",
    "models",
    "share",
    "trails",
    "spaces",
]
samplers = calls([Tpe, CmaEs, Gp, Nsga2, Random, Grid])
pruners = calls([Halving, Hyperband, Median])
shares = calls([ModelHalving])
models = st.lists(st.sampled_from(ALL_MODELS) | values, max_size=3) | st.dictionaries(
    st.sampled_from(ALL_MODELS) | keys,
    st.none() | st.dictionaries(st.sampled_from(KEYS) | keys, dimensions, max_size=2) | values,
    max_size=2,
)
SPACE = {"model.width": Choice(32, 64), "model.dropout": Float(0, 0.4, step=0.2)}


def check_study(fields: dict[str, Any]) -> None:
    given = {} if "models" in fields else {"space": SPACE}
    study = Study(**{"dataset": "shop", **given, **fields})
    options = Options()
    check_kinds(study)
    objectives = read_objectives(study.objective)
    resources = read_resources(study.resources)
    base = SHOP.replace(study.base)
    share = check_models(study, study.sampler)
    contender = Contender(None, study.space or SPACE, base)
    study.sampler.check(contender.space, len(objectives))
    n_trials(study, options, study.sampler, [contender], share)
    if study.pruner is not None:
        study.pruner.check()
    seed_of(study, options)
    own_budget(study, options, resources)
    time_limit(study, options)


@settings(max_examples=1500)
@given(st.dictionaries(st.sampled_from(FIELDS), values | samplers | pruners | shares, max_size=2))
@example({"trials": 10**5000})
@example({"sampler": Tpe(startup_trails=3)})
def test_arguments_of_a_study(fields):
    refused(check_study, fields)


@settings(max_examples=600)
@given(models | values, shares | st.sampled_from(["trials", "hours"]) | values)
@example(["sasrec", "sasrec"], "trials")
@example({"sasrec": {"model.width": Int("8", 16)}}, "hours")
def test_models_and_shares(several, share):
    refused(check_study, {"models": several, "share": share})


@settings(max_examples=600)
@given(samplers, pruners | st.none())
def test_samplers_and_pruners(sampler, pruner):
    refused(check_study, {"sampler": sampler, "pruner": pruner})


resources = st.dictionaries(
    st.sampled_from(["cpu", "gpu", "memory_gb"]) | texts, values, max_size=3
)


@settings(max_examples=400)
@given(resources | values)
def test_resources(given_resources):
    refused(check_study, {"resources": given_resources})

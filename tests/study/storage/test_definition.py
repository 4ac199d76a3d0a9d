"""Older studies, whose aggregators have other keys and names now."""

from __future__ import annotations

import dataclasses

import pytest

from mmsr.config import parse_settings
from mmsr.older_configs import BEFORE
from mmsr.study import Choice
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan


def older(study, base, space=None):
    """The definition of a study as it was before aggregators got new keys and names."""
    changed = dataclasses.replace(study, base=base, **({"space": space} if space else {}))
    plan = make_plan(changed, Options())
    added = {f"model.aggregator.{key}" for keys in BEFORE.values() for key in keys}
    added.add("model.aggregator.type_slope")
    kept = {k: v for k, v in plan.definition.config.items() if k not in added}
    return changed, plan.definition.model_copy(update={"config": kept, "meaning": 1})


@pytest.mark.parametrize(
    ("name", "keep"),
    [
        ("dual_attention", {"model.aggregator.heterogeneous_slope": 1}),
        ("graphsage", {"model.aggregator.normalise": False}),
        ("graphormer", {"model.aggregator.edges": "hop"}),
        ("hgat", {"model.aggregator.name": "typed_gat"}),
        ("gcn", {}),
    ],
)
def test_an_older_study_says_how_its_aggregator_is_kept(small_study, study_home, name, keep):
    base = {**small_study.base, "model.aggregator.name": name, "model.width": 8}
    study, then = older(small_study, base)
    difference = then.difference(make_plan(study, Options()).definition)
    for key, value in keep.items():
        assert f"--set {key}={value}" in difference
        pair = difference.partition("--set ")[2].split()[0]
        kept = make_plan(study, Options(settings=parse_settings([pair])))
        assert then.difference(kept.definition) is None
        assert kept.definition.difference(make_plan(study, Options()).definition) is not None
    if not keep:
        assert difference is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("hgat", "gcn"), "hgat is another model now, and what it was is called typed_gat"),
        (("graphsage", "gcn"), "graphsage had model.aggregator.normalise=False"),
        (("dual_attention", "gcn"), "--set model.aggregator.heterogeneous_slope=1.0 keeps"),
        (("gat", "gcn"), None),
    ],
)
def test_an_older_study_that_varied_aggregators(small_study, study_home, options, told):
    space = {**small_study.space, "model.aggregator.name": Choice(*options)}
    plain = dataclasses.replace(small_study, enqueue=None)
    study, then = older(plain, {**small_study.base, "model.width": 8}, space)
    difference = then.difference(make_plan(study, Options()).definition)
    assert (difference is None) if told is None else (told in difference)

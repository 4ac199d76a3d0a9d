"""Older studies, whose aggregators have other keys and names now."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

from mmsr.config import parse_settings
from mmsr.config.older import BEFORE
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
    if "model.aggregator.share_qkv" in kept:
        kept["model.aggregator.share_qkv"] = True  # the default was another one, too
    return changed, plan.definition.model_copy(update={"config": kept, "meaning": 1})


@pytest.mark.parametrize(
    ("name", "keep"),
    [
        ("dual_attention", ["share_qkv=true", "heterogeneous_slope=1.0"]),
        ("graphsage", ["normalise=false"]),
        ("graphormer", ["edges=hop"]),
        ("hgat", ["name=typed_gat"]),
        ("gcn", []),
    ],
)
def test_an_older_study_says_how_its_aggregator_is_kept(small_study, study_home, name, keep):
    base = {**small_study.base, "model.aggregator.name": name, "model.width": 8}
    study, then = older(small_study, base)
    difference = then.difference(make_plan(study, Options()).definition)
    if not keep:
        assert difference is None
        return
    words = shlex.split(difference.partition("(")[2].partition(" resumes it)")[0])
    assert words[::2] == ["--set"] * len(keep)
    assert words[1::2] == [f"model.aggregator.{pair}" for pair in keep]
    kept = make_plan(study, Options(settings=parse_settings(words[1::2])))
    assert then.difference(kept.definition) is None
    assert kept.definition.difference(make_plan(study, Options()).definition) is not None


@pytest.mark.parametrize(("then", "now"), [("softmax", "bce"), ("gbce", "softmax")])
def test_a_study_with_another_loss_says_how_to_keep_it(small_study, study_home, then, now):
    def planned(loss):
        base = {**small_study.base, "training.loss.name": loss}
        return make_plan(dataclasses.replace(small_study, base=base), Options()).definition

    difference = planned(then).difference(planned(now))
    assert difference is not None
    assert f"training.loss.name was {then} and is {now}" in difference
    assert f"--set training.loss.name={then} resumes it" in difference
    stored = planned("softmax")
    del stored.config["training.loss.name"]  # as a study of before there were losses has it
    assert stored.difference(planned("softmax")) is None


def test_a_study_of_before_fitted_its_codes_on_all_items(small_study, study_home):
    plan = make_plan(small_study, Options())
    config = {k: v for k, v in plan.definition.config.items() if k != "graph.fitted_on"}
    then = plan.definition.model_copy(update={"config": config})
    difference = then.difference(plan.definition)
    assert difference is not None
    assert (
        "graph.fitted_on was all and is train (--set graph.fitted_on=all resumes it)" in difference
    )
    kept = make_plan(small_study, Options(settings={"graph.fitted_on": "all"}))
    assert then.difference(kept.definition) is None
    varied = {**small_study.space, "graph.fitted_on": Choice("train", "all")}
    study = dataclasses.replace(small_study, space=varied, enqueue=None)
    now = make_plan(study, Options()).definition
    assert "is new in the space (--set graph.fitted_on=all resumes it)" in (
        then.difference(now) or ""
    )
    assert now.difference(now) is None


def test_a_study_of_another_model_goes_on_when_that_model_gets_a_knob(small_study, study_home):
    base = {"model.name": "sasrec", "training.batch_size": 32}
    space = {"model.width": Choice(8, 16)}
    study = dataclasses.replace(small_study, base=base, space=space, enqueue=None)
    now = make_plan(study, Options()).definition
    newer = ("model.norm", "training.seen", "graph.fitted_on")
    config = {k: v for k, v in now.config.items() if k not in newer}
    before = now.model_copy(update={"config": {**config, "training.mask_seen": False}})
    assert before.difference(now) is None
    masked = now.model_copy(update={"config": {**config, "training.mask_seen": True}})
    assert "--set training.seen=read_masked resumes it" in (masked.difference(now) or "")


def test_values_are_written_as_a_shell_and_yaml_read_them(small_study, study_home):
    def planned(modalities):
        base = {**small_study.base, "graph.modalities": modalities}
        return make_plan(dataclasses.replace(small_study, base=base), Options()).definition

    listed = planned(["image", "text"])
    text = planned(None).difference(listed)
    assert text is not None
    assert "--set graph.modalities=null resumes" in text
    text = listed.difference(planned(None))
    assert text is not None
    assert """--set 'graph.modalities=["image", "text"]' resumes""" in text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("hgat", "gcn"), "hgat is another model now, and what it was is called typed_gat"),
        (("graphsage", "gcn"), "graphsage had model.aggregator.normalise=False"),
        (("dual_attention", "gcn"), "--set model.aggregator.heterogeneous_slope=1.0"),
        (("dual_attention", "graphsage"), "the study cannot go on"),
        (("gat", "gcn"), None),
    ],
)
def test_an_older_study_that_varied_aggregators(small_study, study_home, options, told):
    space = {**small_study.space, "model.aggregator.name": Choice(*options)}
    plain = dataclasses.replace(small_study, enqueue=None)
    study, then = older(plain, {**small_study.base, "model.width": 8}, space)
    difference = then.difference(make_plan(study, Options()).definition)
    assert (difference is None) if told is None else (told in difference)

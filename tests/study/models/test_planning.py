"""Bad input to a study of several models, before anything is scheduled."""

from __future__ import annotations

import pytest

from mmsr.config.models import MODELS
from mmsr.data.importers.prepare import Sources, prepare
from mmsr.errors import UserError
from mmsr.study import ALL_MODELS, Choice, Float, Int, ModelHalving, Nsga2, Study
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.search.objectives import AGAINST

RATE = {"training.learning_rate": Float(1e-4, 1e-2, log=True)}


def planned(options=None, **declared):
    return make_plan(Study(dataset="shop", **declared), options or Options())


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"models": "sasrec"}, "give a list of models such as"),
        ({"models": []}, "give a list of models such as"),
        ({"models": 3}, "give a list of models such as"),
        ({"models": ["sasrec", 3]}, "give a list of models such as"),
        ({"models": ["sasrec", "sasrec"]}, "sasrec is there twice"),
        ({"models": ["sasrecc"]}, "did you mean 'sasrec'"),
        ({"models": {"sasrec": 3}}, "models: sasrec: 3: give a search space such as"),
        ({"models": {"sasrec": {"model.width": 3}}}, "models: sasrec: space: model.width: 3"),
        (
            {"models": {"sasrec": {"model.widht": Int(8, 16)}}},
            "models: sasrec: space: model.widht=8: unknown config key",
        ),
        ({"models": {"sasrec": {"model.name": Choice("mmsr")}}}, "model.name cannot be varied"),
        ({"models": ["sasrec"], "space": RATE}, "space= cannot stand beside models="),
        ({"models": ["sasrec"], "enqueue": []}, "enqueue= cannot stand beside models="),
        ({"models": ["sasrec"], "only_enqueued": True}, "only_enqueued= cannot stand beside"),
        ({"models": ["sasrec"], "base": {"model.name": "nova"}}, "model.name cannot be set"),
        (
            {"models": ["sasrec", "sr_gnn"], "base": {"model.norm": "post"}},
            "models: sr_gnn: config: unknown config key 'model.norm'",
        ),
        ({"models": ["sasrec"], "share": "epochs"}, "give 'trials', 'hours' or ModelHalving"),
        ({"models": ["sasrec"], "share": None}, "'trials', 'hours' or ModelHalving"),
        ({"models": ["sasrec"], "share": ModelHalving(first_round=0)}, "share: first_round=0"),
        ({"models": ["sasrec"], "share": ModelHalving(rounds=2)}, "rounds"),
        ({"share": "hours"}, "that is for a study with models="),
        ({"models": ["sasrec"], "warm_start": "old"}, "learns from no other study"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_write(shop, declared, told):
    with pytest.raises(UserError) as error:
        planned(**declared)
    assert told in str(error.value)


def test_a_sampler_that_keeps_its_state_with_the_study_is_refused(shop):
    with pytest.raises(UserError, match=r"for a study of one model: choose tpe, .* or grid"):
        planned(models=["sasrec"], sampler=Nsga2(), objective=["valid/mrr@20", next(iter(AGAINST))])


def test_a_model_of_features_is_refused_on_data_without_any(study_home, shop_tables, monkeypatch):
    interactions, _ = shop_tables
    prepare("plain", Sources(interactions=interactions))
    with pytest.raises(UserError, match=r"models: nova, mgat: data set 'plain' gives no .*: leave"):
        make_plan(Study(dataset="plain", models=["sasrec", "nova", "mgat"]), Options())
    assert make_plan(Study(dataset="plain", models=["sasrec", "mmsr"]), Options()).trials == 40


def test_all_models_are_those_of_the_registry(shop):
    assert tuple(MODELS) == ALL_MODELS
    small = {"graph.n_codes": 4, "graph.links_per_item": 1}
    plan = planned(Options(settings=small), models=ALL_MODELS)
    assert plan.names == ALL_MODELS
    assert plan.trials == 20 * len(ALL_MODELS)
    for one in plan.models:
        assert one.base.model.name == one.model
        assert one.space, "every model says what a study of it varies"
        assert not {"graph.n_codes", "graph.links_per_item"} & one.space.keys()


def test_set_fixes_a_key_of_all_models(shop):
    plan = planned(Options(settings={"model.width": 16}), models={"sasrec": None, "sr_gnn": RATE})
    assert [one.base.flat()["model.width"] for one in plan.models] == [16, 16]
    assert not any("model.width" in one.space for one in plan.models)
    assert plan.models[1].space == RATE


def test_rounds_of_halving_say_how_many_trials_there_are(shop):
    models = ["gru4rec", "sasrec", "sr_gnn"]
    assert planned(models=models, share=ModelHalving(first_round=2)).trials == 3 * 2 + 2 * 4
    assert planned(models=models, share=ModelHalving(), trials=7).trials == 7
    assert planned(models=models[:1], share=ModelHalving()).trials == 20

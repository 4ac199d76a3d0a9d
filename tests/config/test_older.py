"""What an older mmsr stored keeps its meaning; what a user writes has today's defaults."""

from __future__ import annotations

import pytest
import yaml

from mmsr.config import Config, MmsrConfig
from mmsr.config.older import as_meant

STORED = {
    "width": 64,
    "layers": 2,
    "fusion": "adaptive",
    "readout": "mean",
    "last_n": 5,
    "scoring": "item",
    "dropout": 0.4,
    "input_dropout": 0.3,
    "position_embedding": True,
    "type_embedding": True,
}
"""A stored `model` without its aggregator."""
ORDER = {"order": "gated", "share_qkv": True, "scaled": False}
SLOPES = {"dropout": 0.1, "negative_slope": 0.3}
OLDER = [
    ({"name": "hgat", **SLOPES}, {"name": "typed_gat", **SLOPES}),
    ({"name": "graphsage"}, {"name": "graphsage", "normalise": False}),
    (
        {"name": "graphormer", "heads": 2, "max_distance": 3, "max_degree": 8, "dropout": 0.1},
        {"edges": "hop", "heads": 2, "max_distance": 3},
    ),
    (
        {"name": "dual_attention", **ORDER, **SLOPES},
        {"name": "dual_attention", "heterogeneous_slope": 1.0, **ORDER, **SLOPES},
    ),
    ({"name": "gat", "heads": 2, **SLOPES}, {"name": "gat", "heads": 2, **SLOPES}),
]
NOW = {
    "hgat": {"type_slope": 0.2},
    "graphsage": {"normalise": True},
    "graphormer": {"edges": "path"},
    "dual_attention": {"heterogeneous_slope": 0.1},
}


@pytest.mark.parametrize(("aggregator", "meant"), OLDER, ids=[a["name"] for a, _ in OLDER])
def test_a_stored_config_means_what_it_meant(tmp_path, aggregator, meant):
    model = {**STORED, "aggregator": aggregator}
    document = {"dataset": "shop", "model": model}
    found = Config.from_stored(document).model.aggregator.model_dump()
    assert {key: found[key] for key in meant} == meant
    file = tmp_path / "exported.yaml"
    file.write_text(yaml.safe_dump({"config": document, "provenance": {}}))
    again = Config.from_yaml(file)
    assert again.model.aggregator.model_dump() == found
    assert Config.from_dict(again.to_dict()) == again
    assert again.replace({"model.width": 32}).model.aggregator == again.model.aggregator


def without_fitted_on(config):
    tree = config.to_dict()
    assert tree["graph"].pop("fitted_on") == "train"
    return tree


@pytest.mark.parametrize("name", ["mmsr", "tests.models.test_own_model:Markov"])
def test_codes_of_a_stored_config_were_fitted_on_all_items(name):
    tree = without_fitted_on(Config(dataset="shop"))
    tree["model"]["name"] = name
    assert as_meant(tree)["graph"]["fitted_on"] == "all"
    tree["graph"]["fitted_on"] = "train"
    assert as_meant(tree)["graph"]["fitted_on"] == "train"


def test_a_stored_config_of_a_model_without_codes_stays_as_it_is():
    config = Config(dataset="shop").replace({"model.name": "sasrec"})
    assert Config.from_stored(without_fitted_on(config)) == config


def test_what_a_user_leaves_out_is_fitted_on_training_items(tmp_path):
    tree = without_fitted_on(Config(dataset="shop"))
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(tree))
    assert Config.from_yaml(file).graph.fitted_on == "train"
    file.write_text(yaml.safe_dump({"config": tree, "provenance": {}}))
    assert Config.from_yaml(file).graph.fitted_on == "all"


@pytest.mark.parametrize("name", NOW)
def test_what_a_user_writes_has_todays_defaults(name):
    written = MmsrConfig.model_validate({"width": 64, "aggregator": {"name": name}})
    chosen = Config(dataset="shop").replace({"model.aggregator.name": name}).model
    other = Config(dataset="shop").replace({"model.aggregator.name": "gcn"})
    again = other.replace({"model.aggregator.name": name}).model
    for aggregator in (written.aggregator, chosen.aggregator, again.aggregator):
        found = aggregator.model_dump()
        assert found["name"] == name
        assert {key: found[key] for key in NOW[name]} == NOW[name]


def test_the_older_hgat_written_by_hand_is_the_hgat_of_now():
    model = MmsrConfig.model_validate({**STORED, "aggregator": {"name": "hgat", **SLOPES}})
    assert model.aggregator.model_dump() == {"name": "hgat", **SLOPES, "type_slope": 0.2}


@pytest.mark.parametrize("name", NOW)
def test_a_config_stored_now_is_left_as_it_is(name):
    model = Config(dataset="shop").replace({"model.aggregator.name": name}).model
    config = Config(dataset="shop", model=model)
    assert Config.from_stored(config.to_dict()) == config

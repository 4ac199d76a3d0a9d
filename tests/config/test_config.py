"""Configs: nothing is lost on the way to YAML and back, and nothing unknown gets in."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmsr
from mmsr.config import (
    AGGREGATOR_NAMES,
    VALID_METRICS,
    Config,
    MmsrConfig,
    parse_settings,
    read_export,
    read_yaml,
)
from mmsr.errors import UserError
from mmsr.models.mmsr.model import FUSIONS
from mmsr.models.mmsr.registry import AGGREGATORS, READOUTS

SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**31),
        "graph.n_codes": st.integers(5, 99)
        | st.dictionaries(st.sampled_from(["image", "text"]), st.integers(5, 99), min_size=1),
        "graph.links_per_item": st.integers(1, 5),
        "graph.clustering": st.sampled_from(["kmeans", "gmm", "balanced", "residual"]),
        "graph.modalities": st.none() | st.lists(st.sampled_from(["image", "text"]), unique=True),
        "model.aggregator.name": st.sampled_from(AGGREGATOR_NAMES),
        "model.fusion": st.sampled_from(["adaptive", "early", "late"]),
        "model.dropout": st.floats(0, 0.99),
        "model.type_embedding": st.booleans(),
        "training.learning_rate": st.floats(1e-9, 1e3),
        "training.select_by": st.sampled_from(VALID_METRICS),
        "training.threads": st.none() | st.integers(1, 64),
    },
)


@given(SETTINGS)
def test_yaml_and_back_is_the_same_config(tmp_path_factory, settings):
    config = Config(dataset="shop").replace(settings)
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(config.to_yaml())
    assert Config.from_yaml(file) == config
    assert Config.from_dict(config.to_dict()) == config


@given(SETTINGS)
def test_replace_sets_what_was_asked_and_nothing_else(settings):
    before, after = Config(dataset="shop").flat(), Config(dataset="shop").replace(settings).flat()
    for key, value in settings.items():
        assert after[key] == value
    changed = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    if "model.aggregator.name" in settings:  # another one brings its own settings
        changed = {key for key in changed if not key.startswith("model.aggregator.")}
    assert changed <= settings.keys()


def test_every_variant_of_the_configs_is_registered_and_the_reverse():
    fields = MmsrConfig.model_fields
    assert set(AGGREGATOR_NAMES) == set(AGGREGATORS)
    assert set(get_args(fields["readout"].annotation)) == set(READOUTS)
    assert set(get_args(fields["fusion"].annotation)) == set(FUSIONS)


@pytest.mark.parametrize("name", AGGREGATOR_NAMES)
def test_another_aggregator_brings_its_own_settings(name):
    config = Config(dataset="shop").replace({"model.aggregator.name": name})
    assert config.model.aggregator.name == name
    assert Config.from_dict(config.to_dict()) == config


def test_the_settings_of_another_aggregator_are_judged_together():
    narrow = Config(dataset="shop").replace({"model.width": 6})
    chosen = {"model.aggregator.heads": 3, "model.aggregator.name": "graphormer"}
    assert narrow.replace(chosen).model.aggregator.heads == 3
    with pytest.raises(UserError, match="heads=4 does not divide"):
        narrow.replace({"model.aggregator.name": "graphormer"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"graph.n_coeds": 3}, "did you mean 'graph.n_codes'?"),
        ({"grph.n_codes": 3}, "did you mean 'graph.n_codes'?"),
        ({"model.width.more": 3}, "unknown config key 'model.width.more'"),
        ({"model.aggregator.drop": 0.1}, "did you mean 'model.aggregator.dropout'?"),
        ({"model.aggregator.dropout": 2}, "model.aggregator.dropout: .*less than 1 .given: 2"),
        ({"model.aggregator.name": "gcnn"}, "model.aggregator: .*gcnn.*gcn"),
        ({"graph.n_codes": 0}, "graph.n_codes: .*greater than or equal to 1"),
        ({"graph.n_codes": "many"}, "graph.n_codes: .*integer"),
        ({"graph.links_per_item": 21}, "links_per_item=21 is more than n_codes=20"),
        ({"training.select_by": "valid/mr@20"}, "did you mean 'valid/mrr@20'?"),
        ({"training.select_by": "test/mrr@20"}, "unknown metric 'test/mrr@20'"),
        ({"training.learning_rate": float("nan")}, "training.learning_rate"),
        ({"training.learning_rate": float("inf")}, "training.learning_rate"),
        (
            {"model.aggregator.name": "gat", "model.aggregator.heads": 3},
            "model: model.aggregator.heads=3 does not divide model.width=128",
        ),
        ({"model.aggregator.name": "gat", "model.aggregator.heads": 0}, "greater than or equal"),
        ({"model.aggregator.name": "gcn", "model.aggregator.heads": 2}, "unknown config key"),
        (
            {"model.aggregator.name": "gat", "model.aggregator.share_qkv": True},
            "unknown config key 'model.aggregator.share_qkv'",
        ),
        (
            {"model.aggregator.name": "graphormer", "model.aggregator.max_distanc": 2},
            "did you mean 'model.aggregator.max_distance'",
        ),
        ({"model.width": 64.0}, "model.width: .*write 64 for 64.0"),
        ({"model.width": True}, "model.width: .*valid integer .given: True"),
        ({"model.width": "64"}, "model.width: .*valid integer .given: '64'"),
        ({"model.width": 10**400}, "width=1000.*0 is too large: give at most 9007199254740992"),
        ({"graph.n_codes": {}}, "graph.n_codes"),
        ({"graph.n_codes": {"image": 10**400}}, "is too large"),
        ({"graph.modalities": {"image"}}, "graph.modalities: .*be a list: write .image, text."),
        ({"model.position_embedding": "yes"}, "valid boolean"),
        ({"model.aggregator.name": ["gat"]}, "model.aggregator"),
        ({"name": "gat"}, "unknown config key 'name'"),
        ({"model.name": "gat"}, "unknown model 'gat'"),
        ({"model.name": 3}, "model.name"),
        ({"model.name": "nowhere.models:Mine"}, "cannot be imported: ModuleNotFoundError"),
        ({"model.name": "json:dumps"}, "has no settings"),
    ],
    ids=str,
)
def test_a_bad_setting_is_one_line(settings, message):
    with pytest.raises(UserError, match=message) as caught:
        Config(dataset="shop").replace(settings)
    assert "\n" not in str(caught.value)


def test_codes_by_modality_name_the_one_that_is_missing():
    graph = Config(dataset="shop").replace({"graph.n_codes": {"image": 30}}).graph
    assert graph.codes_of("image") == 30
    with pytest.raises(UserError, match="'text'"):
        graph.codes_of("text")


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("k=30", 30),
        ("k=2e-3", 2e-3),
        ("k=0.5", 0.5),
        ("k=true", True),
        ("k=null", None),
        ("k=kmeans", "kmeans"),
        ("k={image: 30, text: 20}", {"image": 30, "text": 20}),
        ("k=[image]", ["image"]),
        ("k=a=b", "a=b"),
    ],
)
def test_settings_are_read_as_yaml(pair, value):
    assert parse_settings([pair]) == {"k": value}


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (["model.width=010"], "'010' can be read in two ways: write 10"),
        (["model.width=1_000"], "write 1000"),
        (["model.width=0x10"], "in decimal digits"),
        (["model.position_embedding=no"], "write false"),
        (["model.dropout=2001-99-99"], "'2001-99-99' can be read in two ways"),
        (["model.width=1e3"], "write 1000 for 1000.0"),
        (["model.dropout=0,27"], "valid number .given: '0,27'"),
        (["model.width=64", "model.width=32"], "'model.width' is given twice: keep one"),
        (["graph.n_codes={image: 3, image: 4}"], "'image' stands twice"),
        (["model.width=&a [*a]"], "alias"),
    ],
    ids=str,
)
def test_what_can_be_read_in_two_ways_is_refused(pairs, told):
    with pytest.raises(UserError, match=told):
        Config(dataset="shop").replace(parse_settings(pairs))


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ("graph.modalities=image", "should be a list: write [image] (given: 'image')"),
        ("graph.modalities=3", "should be a list: write [image, text] (given: 3)"),
        (f"graph.modalities={'a' * 5000}", "write [image, text]"),
        ("dataset=2020", "write it in quotes, on a command line \"dataset='2020'\" (given: 2020)"),
        ("dataset=true", "write it in quotes"),
        ("graph.modalities=[2020]", "write it in quotes"),
    ],
)
def test_a_text_and_a_list_are_advised(pair, told):
    with pytest.raises(UserError) as caught:
        Config(dataset="shop").replace(parse_settings([pair]))
    assert told in str(caught.value)


def test_what_is_advised_is_accepted():
    given = parse_settings(["graph.modalities=[image]", "dataset='2020'"])
    assert Config(dataset="shop").replace(given).dataset == "2020"


def test_a_data_set_of_a_name_like_a_number_stays_a_text(tmp_path):
    (tmp_path / "config.yaml").write_text(Config(dataset="1e3").to_yaml())
    assert Config.from_yaml(tmp_path / "config.yaml").dataset == "1e3"


@pytest.mark.parametrize("pair", ["graph.n_codes", "=3", "k=[1", ""])
def test_a_bad_pair_is_named(pair):
    with pytest.raises(UserError, match="--set"):
        parse_settings([pair])


@pytest.mark.parametrize("content", [b"- a\n- b\n", b"a: [1\n", b"\xff\xfe\x00", b""])
def test_a_file_without_a_config_is_refused(tmp_path, content):
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"config\.yaml"):
        read_yaml(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        Config.from_yaml(tmp_path / "none.yaml")


def test_an_exported_file_holds_config_and_provenance(tmp_path):
    config = Config(dataset="shop", seed=7)
    text = "config:\n" + "".join(f"  {line}\n" for line in config.to_yaml().splitlines())
    file = tmp_path / "best.yaml"
    file.write_text(text + "provenance:\n  dataset_hash: abc\n  metrics: {valid/hr@5: 0.25}\n")
    assert Config.from_yaml(file) == config
    recorded = read_export(file)
    assert recorded is not None
    assert recorded.dataset_hash == "abc"
    assert recorded.metrics == {"valid/hr@5": 0.25}
    plain = tmp_path / "plain.yaml"
    plain.write_text(config.to_yaml())
    assert read_export(plain) is None


def undocumented_fields(source):
    """Fields `Class.field` of all classes of a source, but `name`, without a docstring below."""
    for cls in ast.walk(ast.parse(source)):
        if not isinstance(cls, ast.ClassDef):
            continue
        for field, below in pairwise([*cls.body, ast.Pass()]):
            if not isinstance(field, ast.AnnAssign) or ast.unparse(field.target) == "name":
                continue
            constant = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if not constant or not isinstance(below.value.value, str):
                yield f"{cls.name}.{ast.unparse(field.target)}"


def test_every_field_of_a_config_says_what_it_is():
    files = sorted((Path(mmsr.__file__).parent / "config").glob("*.py"))
    assert {file.stem for file in files} >= {"__init__", "graph", "mmsr", "training"}
    for file in files:
        assert list(undocumented_fields(file.read_text())) == [], file.name


def test_a_field_without_a_docstring_is_found():
    source = (
        'class A:\n    name: str\n    a: int = 1\n    b: int\n    """What it is."""\n    c: int'
    )
    assert list(undocumented_fields(source)) == ["A.a", "A.c"]

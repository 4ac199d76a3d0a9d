"""Configs, their files and `--set`: whatever they hold, it is read in one way or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmsr.config import Config, parse_settings, read_export, read_yaml
from mmsr.config.plain_yaml import read_plain, write_plain

from .harness import BROKEN, keys, plain, refused, texts

SHOP = Config(dataset="shop")


def nested(flat: dict[str, object]) -> dict[str, object]:
    """A config tree with these values; of keys that contradict each other, the last one counts."""
    tree: dict[str, object] = {}
    for key, value in flat.items():
        node = tree
        *parents, leaf = key.split(".")
        for parent in parents:
            inner = node.get(parent)
            node[parent] = node = inner if isinstance(inner, dict) else {}
        node[leaf] = value
    return tree


@settings(max_examples=2500)
@given(st.dictionaries(keys, plain, max_size=4))
def test_settings_of_a_config(given_settings):
    refused(SHOP.replace, given_settings)


@settings(max_examples=1500)
@given(st.dictionaries(keys, plain, max_size=4), st.booleans())
def test_trees(flat, with_data):
    tree = nested(flat)
    if with_data:
        tree["dataset"] = "shop"
    if refused(Config.from_dict, tree) is None:
        config = Config.from_dict(tree)
        assert Config.from_dict(read_plain(config.to_yaml(), "config")) == config


@settings(max_examples=3000)
@given(st.lists(st.tuples(keys, texts), min_size=1, max_size=3), st.sampled_from(["=", "==", ""]))
@example([("model.dropout", "2001-99-99")], "=")
@example([("model.width", "010")], "=")
@example([("model.width", "64"), ("model.width", "32")], "=")
def test_set(pairs, between):
    arguments = [f"{key}{between}{value}" for key, value in pairs]
    refused(lambda: SHOP.replace(parse_settings(arguments)))


@settings(max_examples=1000)
@given(
    texts,
    st.lists(
        st.sampled_from(
            [
                "\n",
                ": ",
                "- ",
                "  ",
                "[",
                "]",
                "{",
                "}",
                ", ",
                "&a ",
                "*a",
                "!!int ",
                "? ",
                "|\n",
                "#",
                "---\n",
                "<<: ",
                "a",
            ]
        )
        | texts,
        max_size=12,
    ),
)
def test_yaml(first, rest):
    refused(read_plain, first + "".join(rest), "config file 'x.yaml'")


@settings(max_examples=1000)
@given(plain)
@example("a\x85b")
@example({"\u2028 a: b": [".NaN"]})
def test_what_is_written_is_read_back(tree):
    try:
        text = write_plain(tree)
    except ValueError:  # a whole number of more digits than Python writes
        return
    assert repr(read_plain(text, "x")) == repr(tree)  # of which two nans are equal


def exported() -> str:
    """A file as `mmsr best-config export` writes it."""
    tree = {
        "config": SHOP.to_dict(),
        "provenance": {"study": "shop", "dataset_hash": "1e3", "metrics": {"valid/mrr@20": 0.25}},
    }
    return "# Best config of study shop; run it again with\n" + write_plain(tree)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export") / "best.yaml"


EXPORT = exported()


@settings(max_examples=1500)
@given(
    st.integers(0, len(EXPORT)), st.integers(0, 40), st.sampled_from(BROKEN) | st.binary(max_size=8)
)
@example(0, 0, "a: &a [1, 1]\nb: [*a, *a]\n")
@example(0, len(EXPORT), "null")
def test_damaged_exports(file, start, length, other):
    inside = other.encode("utf-8", "surrogatepass") if isinstance(other, str) else other
    whole = EXPORT.encode()
    file.write_bytes(whole[:start] + inside + whole[start + length :])
    refused(read_yaml, file)
    refused(read_export, file)
    refused(Config.from_yaml, file)


def test_an_export_is_read_as_it_was_written(file):
    file.write_text(EXPORT)
    assert Config.from_yaml(file) == SHOP
    assert read_export(file).dataset_hash == "1e3"

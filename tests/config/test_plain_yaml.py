"""YAML that can be read in one way only."""

from __future__ import annotations

import math
import time

import pytest

from mmsr.config.plain_yaml import read_plain, write_plain
from mmsr.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("-3", -3),
        ("+5", 5),
        ("0", 0),
        ("2e-3", 2e-3),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("007.5", 7.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("gat", "gat"),
        ("'010'", "010"),
        ('"yes"', "yes"),
        ("nan", "nan"),
        ("１２", "１２"),
        ("{image: 30, text: [a, b]}", {"image": 30, "text": ["a", "b"]}),
    ],
)
def test_what_can_be_read_in_one_way(text, value):
    found = read_plain(text, "x")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("010", "'010' can be read in two ways: write 10, or '010' in quotes for a text"),
        ("-08", "write 8, or"),
        ("1_000", "write 1000, or"),
        ("0x10", "write the number in decimal digits, or"),
        ("0o10", "write the number in decimal digits, or"),
        ("0b11", "write the number in decimal digits, or"),
        ("1:30", "write the number in decimal digits, or"),
        ("0.1_0", "can be read in two ways"),
        ("yes", "write true, or 'yes' in quotes"),
        ("Off", "write false, or 'Off' in quotes"),
        ("2001-99-99", "write '2001-99-99' in quotes"),
        ("2001-01-01", "write '2001-01-01' in quotes"),
        ("<<", "can be read in two ways"),
        ("a: 1\nb: 2\na: 3", "the key 'a' stands twice, first in line 1: keep one (line 3)"),
        ("{a: 1, a: 1}", "the key 'a' stands twice: keep one"),
        ("a: yes\n", "'yes' can be read"),
        ("a: 1\nb: no\n", "(line 2)"),
        ("a: &x [1]\nb: *x", "alias *x: write out what it stands for (line 2)"),
        ("!!int 3", "tag '!!int': leave it out"),
        ("!!python/object/apply:os.system [ls]", "leave it out"),
        ("? [a]\n: b", "is no key"),
        ("[" * 100, "more than 20 levels deep"),
        ("a: " * 3, "not valid YAML: mapping values are not allowed here in line 1"),
        ("[1", "not valid YAML"),
        ("--- 1\n--- 2", "not valid YAML"),
        ("\x00", "control characters"),
        ("9" * 5000, "write the number in decimal digits"),
        ("a" * 1_000_001, "over 1,000,000 characters"),
    ],
    ids=lambda text: text[:20],
)
def test_the_rest_is_refused_with_what_to_write(text, told):
    with pytest.raises(UserError) as caught:
        read_plain(text, "config file 'x.yaml'")
    assert str(caught.value).startswith("config file 'x.yaml': ")
    assert told in str(caught.value)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_yaml_writes_no_number_in_three_ways(text):
    assert math.isnan(read_plain(text, "x"))
    assert read_plain(write_plain({"name": text}), "x") == {"name": text}


@pytest.mark.parametrize("text", ["a\x85b", "\u2028", "a \u2029b", "\x85 a: b", "\ufeff", "\udc80"])
def test_breaks_of_lines_are_kept(text):
    tree = {"name": text, text: [text]}
    assert read_plain(write_plain(tree), "x") == tree


@pytest.mark.parametrize("text", ["y", "n", "Y", "N"])
def test_a_letter_is_a_text(text):
    assert read_plain(text, "x") == text


def test_a_billion_laughs_are_one_short_line():
    lines = ['a0: &a0 ["ha", "ha"]']
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    started = time.process_time()
    with pytest.raises(UserError, match=r"alias \*a0") as caught:
        read_plain("\n".join(lines), "x")
    assert time.process_time() - started < 1
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    "text", ["1e3", "010", "yes", "2001-01-01", "0x10", "1_0", "~", "", "a: b", "09"]
)
def test_texts_are_written_so_that_they_are_read_as_texts(text):
    tree = {"name": text, "list": [text, 1, 0.5, None, True]}
    assert read_plain(write_plain(tree), "x") == tree


def test_the_same_list_twice_is_written_twice():
    names = ["image"]
    assert read_plain(write_plain({"a": names, "b": names}), "x") == {"a": names, "b": names}

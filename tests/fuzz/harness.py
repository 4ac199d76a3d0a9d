"""What the fuzz tests share: what may come of an input, and inputs that have broken programs."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from mmsr.config import Config
from mmsr.errors import UserError

LONGEST = 300
NOT_SHOWN = {"Cc", "Cs", "Zl", "Zp"}
"""Control characters, halves of characters, breaks of lines and paragraphs."""


def refused(call: Callable[..., Any], *args: Any) -> str | None:
    """Call with an input; the error if it is refused. Whatever else is raised fails the test."""
    try:
        call(*args)
    except UserError as error:
        line = f"error: {error}"
        assert len(line) <= LONGEST, line
        assert line.splitlines() == [line]
        assert {unicodedata.category(one) for one in line}.isdisjoint(NOT_SHOWN), line
        line.encode()  # no halves of characters
        return str(error)
    return None


KEYS = sorted(Config(dataset="shop").flat())
"""The keys of a config."""

BROKEN = [
    "",
    " ",
    "=",
    "-",
    "--",
    "-1",
    "0",
    "1",
    "010",
    "0o10",
    "1_000",
    "0x10",
    "1e3",
    "1e999",
    "yes",
    "no",
    "null",
    "~",
    "nan",
    "inf",
    ".nan",
    "-.inf",
    "2001-99-99",
    "2001-01-01",
    "1:30",
    "0,27",
    "true",
    "True",
    "9" * 400,
    "9" * 5000,
    "a" * 5000,
    "é",
    "💥",
    "\x1b[2J",
    "a\nb",
    "a\tb",
    "\x00",
    "\u2028",
    "\u202e",
    "[red]x[/]",
    "[/dev/shm/x]",
    "[enforce fail at alloc_cpu.cpp:118]",
    ":x:",
    "{",
    "[",
    "{a: 1, a: 2}",
    "&a [*a]",
    "!!python/object/apply:os.system [ls]",
    "[[[[[[[[[[",
    "[" * 2000,
    "{a: " * 500,
    "%s%n",
    "../up",
    "/",
    ".",
    "a/b",
    "gat",
    "last",
    "image",
    "demo",
    "valid/mrr@20",
    "test/mrr@20",
    "shop",
    "'",
    '"',
    "\\",
    "<<",
    "*x",
    "@",
    "`",
    "|",
    ">",
    "? x",
]
"""Texts that have broken programs."""

texts = st.sampled_from(BROKEN) | st.text(max_size=20)
numbers = (
    st.integers(-3, 200)
    | st.integers()
    | st.sampled_from([2**31, 2**53 + 1, 2**63, 10**400])
    | st.builds(lambda: 10**5000)  # which Python itself does not print
    | st.floats()
    | st.booleans()
)
plain = st.recursive(
    st.none() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
"""What YAML and JSON can hold."""
names = st.sampled_from(KEYS) | st.sampled_from(["graph", "model", "model.aggregator"]) | texts
"""Keys of a config, parts of its tree, and others."""


def nearly(key: str) -> st.SearchStrategy[str]:
    """A key with a letter missing."""
    return st.integers(0, max(0, len(key) - 1)).map(lambda at: key[:at] + key[at + 1 :])


keys = names | st.sampled_from(KEYS).flatmap(nearly)

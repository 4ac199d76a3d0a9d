"""Error messages that a user can act on."""

from __future__ import annotations

from mmsr.errors import unknown


def test_a_close_name_is_suggested():
    text = str(unknown("data set", "beuty", ["toys", "beauty"], hint="run `mmsr data demo`"))
    assert text == "unknown data set 'beuty': did you mean 'beauty'? known: beauty, toys"


def test_the_hint_helps_where_no_name_is_close():
    text = str(unknown("data set", "xyz", ["toys"], hint="run `mmsr data demo`"))
    assert text == "unknown data set 'xyz'; known: toys; run `mmsr data demo`"


def test_where_the_known_names_are():
    text = str(unknown("study", "frist", ["first"], hint="write one", where="/data"))
    assert text == "unknown study 'frist': did you mean 'first'? known: first in /data"
    text = str(unknown("study", "xyz", [], hint="write one", where="/data"))
    assert text == "unknown study 'xyz'; known: none in /data; write one"


def test_nothing_is_known():
    assert "known: none" in str(unknown("study", "xyz", []))

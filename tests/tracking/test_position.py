"""A place that an earlier version of mmsr spelled in another way is still the same place."""

from __future__ import annotations

import pytest

from mmsr.tracking.databases import is_same_place, place_of
from mmsr.tracking.journal.position import STATE, Position, PositionFile, packed, read_position
from mmsr.urls import Url

SAME = [
    ("sqlite:////HOME/mlflow.db", "sqlite:////HOME/mlflow.db"),
    ("http://host:5000/", "http://host:5000"),
    ("http://ada:***@host:5000", "http://host:5000"),
    ("http://ada:***@host:5000", "http://ada:s3cr3t@host:5000"),
    ("http://host:5000", "http://ada:s3cr3t@host:5000"),
    ("postgresql://u:***@h/d", "postgresql+psycopg://u:s3cr3t@h/d"),
]
OTHER = [
    ("sqlite:////HOME/mlflow.db", "sqlite:////HOME/other.db"),
    ("http://host:5000", "http://host:5001"),
    ("http://host:5000", "https://host:5000"),
    ("postgresql://u@h/d", "postgresql://v@h/d"),
    ("here", "http://host"),
    ("", "http://host"),
]


def at(text, home):
    return text.replace("/HOME", str(home))


@pytest.mark.parametrize(("recorded", "now"), SAME)
def test_what_is_shipped_stays_shipped(recorded, now, home):
    home.mkdir()
    place = place_of(Url.parse(at(now, home)))
    assert "s3cr3t" not in place
    before = Position(place=at(recorded, home), written=5, shipped=5, runs={"a": "id-a"})
    (home / STATE).write_bytes(packed(before))
    expected = before.model_copy(update={"place": place})
    assert read_position(home, place) == expected
    assert PositionFile(home, place).now == expected
    assert read_position(home) == expected


@pytest.mark.parametrize(("recorded", "now"), OTHER)
def test_another_place_has_nothing(recorded, now, home):
    home.mkdir()
    place = place_of(Url.parse(at(now, home)))
    assert not is_same_place(at(recorded, home), place)
    before = Position(place=at(recorded, home), written=5, shipped=5, runs={"a": "id-a"})
    (home / STATE).write_bytes(packed(before))
    assert read_position(home, place) == Position(place=place, written=5)

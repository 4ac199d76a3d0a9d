"""Journals of an older mmsr: bare events, and a position in bytes."""

from __future__ import annotations

import json

import pytest

from mmsr.paths import IN_HOME
from mmsr.tracking import Unshipped
from mmsr.tracking.base import Metrics
from mmsr.tracking.journal.shipment import Shipment, unshipped

EVENTS = [Metrics(key="a", time=number, step=number, values={"x": 0.5}) for number in range(5)]
LINES = [event.model_dump_json() + "\n" for event in EVENTS]


class Server:
    def __init__(self, place):
        self.place = place
        self.stored = []

    def check(self, runs):
        pass

    def deliver(self, events, runs):
        self.stored += events


@pytest.fixture
def shipped(tmp_path, home):
    """Ship an older journal; returns what arrived, and what is left."""

    def ship(offset=None, lines=LINES, refused=(), was=None, now=f"sqlite:///{IN_HOME}/mlflow.db"):
        (tmp_path / "tracking.jsonl").write_text("".join(lines))
        if offset is not None:
            state = {
                "place": was or f"sqlite:///{home}/mlflow.db",
                "offset": offset,
                "runs": {"a": "id-a"},
            }
            (tmp_path / "tracking.state.json").write_text(json.dumps(state))
        if refused:
            (tmp_path / "tracking.refused.jsonl").write_text("".join(refused))
        before, server = unshipped(tmp_path, now), Server(now)
        shipment = Shipment(tmp_path, server, lambda _: None)
        while shipment.step():
            pass
        assert unshipped(tmp_path, now) == shipment.unshipped()
        return server.stored, before, shipment

    return ship


def test_it_goes_on_where_it_was(shipped):
    arrived, before, shipment = shipped(offset=len("".join(LINES[:2])))
    assert arrived == EVENTS[2:]
    assert before == Unshipped(waiting=3)
    assert shipment.unshipped() == Unshipped()
    assert shipment.runs == {"a": "id-a"}
    assert shipment.journal.last == 5


@pytest.mark.parametrize("was", ["http://host:5000/", "http://ada:***@host:5000"])
def test_a_server_that_was_spelled_otherwise_is_the_same(shipped, was):
    arrived, before, shipment = shipped(len("".join(LINES)), was=was, now="http://host:5000")
    assert (arrived, before, shipment.runs) == ([], Unshipped(), {"a": "id-a"})


def test_another_server_gets_the_whole_journal(shipped):
    arrived, before, _ = shipped(len("".join(LINES)), was="http://host", now="http://other")
    assert (arrived, before) == (EVENTS, Unshipped(waiting=5))


def test_one_without_a_position_is_shipped_from_its_beginning(shipped):
    assert shipped()[0] == EVENTS


def test_an_offset_in_mid_line_ships_it_from_its_beginning(shipped):
    arrived, _, shipment = shipped(offset=len("".join(LINES[:2])) - 7)
    assert arrived == EVENTS
    assert shipment.unshipped() == Unshipped()


def test_a_damaged_line_costs_its_event(shipped):
    arrived, _, shipment = shipped(lines=[*LINES[:2], "somebody was here\n", *LINES[3:]])
    assert arrived == EVENTS[:2] + EVENTS[3:]
    assert shipment.unshipped() == Unshipped(lost=1)


def test_what_was_refused_is_sent_again(shipped):
    arrived, _, shipment = shipped(offset=len("".join(LINES)), refused=[LINES[3]])
    assert arrived == [EVENTS[3]]
    assert shipment.unshipped() == Unshipped()

"""The journal and its shipping: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path

import pytest

from mmsr.errors import UserError
from mmsr.tracking import RunState
from mmsr.tracking.base import Metrics, RunOpened, Upload
from mmsr.tracking.journal import Journal
from mmsr.tracking.shipper import Forgotten, JournalTracker, Refused, Unavailable, unshipped


class Server:
    """A sink that can go away, refuse things, and forget what it knew."""

    def __init__(self, place="here"):
        self.place = place
        self.away = False
        self.hangs = None
        self.refuses = None
        self.forgets = 0
        self.runs = {}
        self.stored = []
        self.calls = 0
        self.reached = threading.Event()

    def deliver(self, events, runs):
        self.calls += 1
        self.reached.set()
        if self.hangs is not None:
            self.hangs.wait()
        if self.away:
            raise Unavailable("no route")
        if self.forgets:
            self.forgets -= 1
            raise Forgotten("who is this?")
        for event in events:
            if event.key == self.refuses:
                raise Refused("never")
            if isinstance(event, RunOpened):
                runs[event.key] = self.runs.setdefault(event.key, f"id-{event.key}")
            if event not in self.stored:  # as MLflow: the same event again stores nothing
                self.stored.append(event)

    @property
    def metrics(self):
        return [(e.key, e.step, e.values) for e in self.stored if isinstance(e, Metrics)]


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def tracker_of(tmp_path):
    """Trackers over one folder, as drivers that follow each other have them."""
    made = []

    def make(server, **options):
        tracker = JournalTracker(tmp_path, server, every=0.01, **options)
        made.append(tracker)
        return tracker

    yield make
    for tracker in made:
        tracker._closing.set()
        tracker._news.set()


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_events_arrive_in_order_and_once(server, tracker_of):
    tracker = tracker_of(server)
    server.hangs = threading.Event()  # whatever is logged in the meantime waits
    tracker.open_run("a", "run a", params={"width": 8}, tags={"x": "y"})
    for step in range(50):
        tracker.log("a", step, {"loss": 1 / (step + 1)})
    tracker.close_run("a", RunState.PRUNED, {"why": "weak"})
    server.hangs.set()
    assert tracker.close(5) == 0
    assert tracker.run_id("a") == "id-a"
    assert server.stored[0].params == {"width": "8"}
    assert [step for _, step, _ in server.metrics] == list(range(50))
    assert server.stored[-1].state is RunState.PRUNED
    assert server.calls < 20, "many events go in one delivery"


def test_nothing_is_lost_while_the_server_is_away(server, tracker_of):
    said = []
    tracker = tracker_of(server, notice=said.append)
    tracker.open_run("a", "run a")
    wait_for(lambda: server.stored)
    server.away = True
    for step in range(20):
        tracker.log("a", step, {"loss": 0.5})
    wait_for(lambda: said)
    assert server.metrics == []
    server.away = False
    assert tracker.close(10) == 0
    assert [step for _, step, _ in server.metrics] == list(range(20))
    assert "away" in said[0]
    assert "back" in said[1]


def test_nobody_waits_for_a_server_that_hangs(server, tracker_of):
    tracker = tracker_of(server)
    server.hangs = threading.Event()
    tracker.open_run("a", "run a")
    assert server.reached.wait(10)
    for step in range(20):
        tracker.log("a", step, {"loss": 0.5})  # would never come back
    tracker.upload("a", Path(), ["x"])
    tracker.close_run("a", RunState.FINISHED)
    assert server.stored == []
    server.hangs.set()
    assert tracker.close(10) == 0
    assert len(server.metrics) == 20


def test_a_later_driver_ships_what_is_left(server, tracker_of, tmp_path):
    server.away = True
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    assert tracker.close(0.2) == 2
    assert unshipped(tmp_path, "here")
    server.away = False
    assert tracker_of(server).close(5) == 0
    assert server.metrics == [("a", 1, {"loss": 0.5})]
    assert not unshipped(tmp_path, "here")
    assert unshipped(tmp_path, "elsewhere")


def test_a_driver_killed_after_shipping_does_not_ship_twice(server, tracker_of, tmp_path):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    tracker.close(5)
    first = list(server.stored)
    (tmp_path / "tracking.state.json").unlink()  # as if killed before the note was written
    again = tracker_of(server)
    assert again.close(5) == 0
    assert server.stored == first
    assert again.run_id("a") == "id-a"


def test_a_step_that_is_redone_is_noted_once(server, tracker_of):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    tracker.log("a", 1, {"loss": 0.5})
    tracker.close(5)
    later = tracker_of(server)  # its driver does not know that the step was noted
    later.log("a", 1, {"loss": 0.5})
    later.log("a", 2, {"loss": 0.4})
    later.log("b", 1, {"loss": 0.5})
    assert later.close(5) == 0
    assert [(key, step) for key, step, _ in server.metrics] == [("a", 1), ("a", 2), ("b", 1)]


def test_a_torn_line_is_dropped(server, tracker_of, tmp_path):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.close(5)
    with (tmp_path / "tracking.jsonl").open("a") as file:
        file.write('{"key":"a","time":1,"kind":"metr')
    later = tracker_of(server)
    later.log("a", 2, {"loss": 0.25})
    assert later.close(5) == 0
    assert server.metrics == [("a", 2, {"loss": 0.25})]
    for line in (tmp_path / "tracking.jsonl").read_text().splitlines():
        json.loads(line)


def test_a_damaged_journal_is_refused_with_its_line(server, tracker_of, tmp_path):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.close(5)
    with (tmp_path / "tracking.jsonl").open("a") as file:
        file.write("somebody was here\n")
    with pytest.raises(UserError, match=r"tracking\.jsonl is damaged in line 2: remove"):
        tracker_of(server)


def test_another_place_gets_the_whole_journal(server, tracker_of):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    tracker.close(5)
    other = Server("there")
    assert tracker_of(other).close(5) == 0
    assert other.stored == server.stored


def test_what_is_refused_is_kept_aside_and_does_not_block(server, tracker_of, tmp_path):
    said = []
    server.refuses = "bad"
    tracker = tracker_of(server, notice=said.append)
    tracker.open_run("a", "run a")
    tracker.upload("bad", tmp_path, ["gone"])
    tracker.log("a", 1, {"loss": 0.5})
    assert tracker.close(5) == 0
    assert server.metrics == [("a", 1, {"loss": 0.5})]
    assert not any(isinstance(event, Upload) for event in server.stored)
    (refused,) = (tmp_path / "tracking.refused.jsonl").read_text().splitlines()
    assert json.loads(refused)["kind"] == "upload"
    assert "refused" in said[0]


def test_a_server_that_lost_its_memory_gets_all_again(server, tracker_of):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.close(5)
    server.stored.clear()
    server.forgets = 1
    later = tracker_of(server)
    later.log("a", 1, {"loss": 0.5})
    assert later.close(5) == 0
    assert [type(event) for event in server.stored] == [RunOpened, Metrics]


def test_values_that_are_not_finite_are_left_out(server, tracker_of):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": math.nan, "other": math.inf, "fine": 1})
    assert tracker.close(5) == 0
    assert server.metrics == [("a", 1, {"fine": 1.0})]


def test_a_journal_of_many_threads_has_whole_lines(tmp_path):
    journal = Journal(tmp_path / "journal")

    def write(key):
        for step in range(100):
            journal.append(Metrics(key=key, time=1, step=step, values={"x": 0.1}))

    threads = [threading.Thread(target=write, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = journal.read(0, 1000)
    assert len(events) == 400
    assert events[-1][1] == journal.size
    assert [e.step for e, _ in events if e.key == "2"] == list(range(100))
    assert len(journal.read(events[0][1], 7)) == 7
    journal.close()

"""The journal and its shipping: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import json
import math
import os
import resource
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmsr.tracking import RunState, Unshipped
from mmsr.tracking.base import Metrics, RunClosed, RunOpened, Upload
from mmsr.tracking.journal.file import Journal
from mmsr.tracking.journal.position import COUNT, STATE
from mmsr.tracking.journal.shipment import unshipped
from mmsr.tracking.journal.shipper import JournalTracker
from mmsr.tracking.journal.sink import Blocked, Forgotten, Refused, Unavailable


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

    def check(self, runs):
        if not set(runs.values()) <= set(self.runs.values()):
            raise Forgotten("who is this?")

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
def full_after():
    """Context in which no file can grow beyond so many bytes, as on a disk that is full."""

    @contextmanager
    def limited(size):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


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
        tracker._stopped.set()
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
    assert tracker.close(5) == Unshipped()
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
    assert tracker.close(10) == Unshipped()
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
    assert tracker.close(10) == Unshipped()
    assert len(server.metrics) == 20


def test_a_server_that_fails_again_and_again_is_left_to_a_later_driver(server, tracker_of):
    server.away = True
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    wait_for(lambda: server.calls)
    before = server.calls
    assert tracker.close(60) == Unshipped(waiting=1, why="the server is away: no route")
    assert 10 <= server.calls - before <= 12


def test_a_later_driver_ships_what_is_left(server, tracker_of, tmp_path):
    server.away = True
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    assert tracker.close(0.2) == Unshipped(waiting=2, why="the server is away: no route")
    assert unshipped(tmp_path, "here") == Unshipped(waiting=2)
    server.away = False
    assert tracker_of(server).close(5) == Unshipped()
    assert server.metrics == [("a", 1, {"loss": 0.5})]
    assert unshipped(tmp_path, "here") == Unshipped()
    assert unshipped(tmp_path, "elsewhere") == Unshipped(waiting=2)


def test_a_driver_killed_after_shipping_does_not_ship_twice(server, tracker_of, tmp_path):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    tracker.close(5)
    first = list(server.stored)
    for name in (STATE, COUNT):
        (tmp_path / name).unlink()  # as if killed before the position was written
    again = tracker_of(server)
    assert again.close(5) == Unshipped()
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
    assert later.close(5) == Unshipped()
    assert [(key, step) for key, step, _ in server.metrics] == [("a", 1), ("a", 2), ("b", 1)]


def test_a_torn_line_is_dropped(server, tracker_of, tmp_path):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.close(5)
    with (tmp_path / "tracking.jsonl").open("a") as file:
        file.write('{"n":2,"len":90,"crc":"9f3a1c2b","data":{"key":"a","time":1,"kind":"metr')
    later = tracker_of(server)
    later.log("a", 2, {"loss": 0.25})
    assert later.close(5) == Unshipped()
    assert server.metrics == [("a", 2, {"loss": 0.25})]
    first, _, last = (tmp_path / "tracking.jsonl").read_text().splitlines()
    assert [json.loads(line)["n"] for line in (first, last)] == [1, 2]


def edited(lines):
    """As the old advice said: the line is removed by hand."""
    del lines[1]


def changed(lines):
    lines[1] = lines[1].replace("0.5", "0.6")


def joined(lines):
    lines[1:3] = [lines[1][:30] + lines[2][10:]]


@pytest.mark.parametrize(
    ("damage", "lost"), [(edited, 1), (changed, 1), (joined, 2), (lambda lines: lines.pop(), 1)]
)
def test_damage_costs_the_events_that_it_hits_and_is_told(
    server, tracker_of, tmp_path, damage, lost
):
    said = []
    server.away = True
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    for step in range(4):
        tracker.log("a", step, {"loss": 0.5})
    tracker.close(0.1)
    path = tmp_path / "tracking.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    damage(lines)
    path.write_text("".join(lines))
    server.away = False
    later = tracker_of(server, notice=said.append)
    later.log("a", 9, {"loss": 0.5})
    left = later.close(5)
    assert left == Unshipped(lost=lost) == unshipped(tmp_path)
    assert len(server.metrics) == 5 - lost
    assert any(f"{lost} event" in line and "missing" in line for line in said)
    assert tracker_of(server).close(5) == left, "a later driver knows it as well"


def test_what_was_shipped_before_the_damage_is_not_missing(server, tracker_of, tmp_path):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    assert tracker.close(5) == Unshipped()
    (tmp_path / "tracking.jsonl").write_text("somebody was here")
    later = tracker_of(server)
    later.log("a", 2, {"loss": 0.5})
    assert later.close(5) == Unshipped()
    assert [step for _, step, _ in server.metrics] == [1, 2]


@pytest.mark.parametrize("name", [STATE, COUNT])
@pytest.mark.parametrize("text", [None, "", "{}", '{"place":"here","shipped":0}'])
def test_one_damaged_position_neither_ships_twice_nor_loses(
    server, tracker_of, tmp_path, name, text
):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    tracker.close(5)
    path = tmp_path / name
    path.unlink() if text is None else path.write_text(text)
    calls = server.calls
    later = tracker_of(server)
    assert later.close(5) == Unshipped()
    assert server.calls == calls
    path.unlink(missing_ok=True)  # both are good again, so the other one may be lost now
    last = tracker_of(server)
    last.log("a", 2, {"loss": 0.5})
    assert last.close(5) == Unshipped()
    assert server.calls == calls + 1


def test_a_digit_changed_in_the_position_is_noticed(server, tracker_of, tmp_path):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.close(5)
    path = tmp_path / STATE
    path.write_text(path.read_text().replace('"shipped":1', '"shipped":9'))
    later = tracker_of(server)
    later.log("a", 1, {"loss": 0.5})
    assert later.close(5) == Unshipped()
    assert len(server.metrics) == 1


class Odd(Server):
    """A sink with errors that nobody foresaw."""

    errors = ()

    def deliver(self, events, runs):
        if self.errors:
            raise self.errors.pop(0)
        super().deliver(events, runs)


def test_an_unforeseen_error_is_told_and_tried_again(tracker_of):
    said, server = [], Odd()
    server.errors = [TypeError("what?"), KeyError("run"), RecursionError()]
    tracker = tracker_of(server, notice=said.append)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    wait_for(lambda: server.metrics)
    assert tracker.close(5) == Unshipped()
    assert "unexpected TypeError: what?" in said[0]
    assert "back" in said[-1]


def test_a_server_that_answers_is_not_said_to_be_away(tracker_of):
    said, server = [], Odd()
    server.errors = [Blocked("experiment 'shop' was deleted")] * 10_000
    tracker = tracker_of(server, notice=said.append)
    tracker.open_run("a", "run a")
    assert tracker.close(0.2).why == "experiment 'shop' was deleted"
    assert "away" not in said[0]


def test_what_an_unforeseen_error_holds_up_is_counted(tracker_of):
    server = Odd()
    server.errors = [TypeError("what?")] * 10_000
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    left = tracker.close(0.2)
    assert left == Unshipped(waiting=2, why="unexpected TypeError: what?")
    (told,) = left.told("shop")
    assert told.startswith("tracking: 2 events wait to be sent (unexpected TypeError: what?)")
    assert "mmsr study sync shop" in told


def test_a_terminal_that_fails_does_not_stop_the_shipping(server, tracker_of):
    def broken(message):
        raise UnicodeEncodeError("ascii", message, 0, 1, "no such letter")

    server.refuses = "bad"
    tracker = tracker_of(server, notice=broken)
    tracker.open_run("bad", "run bad")
    tracker.open_run("a", "run a")
    assert tracker.close(5) == Unshipped(refused=1)


def test_a_slow_server_is_waited_for_while_events_arrive(tracker_of):
    class Slow(Server):
        def deliver(self, events, runs):
            time.sleep(0.02 * len(events))
            super().deliver(events, runs)

    server = Slow()
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    for step in range(50):
        tracker.log("a", step, {"loss": 0.5})
    assert tracker.close(0.9) == Unshipped()  # 1 s in all, but never 0.9 s without an event
    assert len(server.metrics) == 50


def test_a_hanging_server_is_left(server, tracker_of, tmp_path):
    tracker = tracker_of(server)
    server.hangs = threading.Event()
    tracker.open_run("a", "run a")
    left = tracker.close(0.3)
    assert left == Unshipped(waiting=1, why="the server does not answer in time")
    later = tracker_of(server)
    later.log("a", 1, {"loss": 0.5})
    server.hangs.set()
    assert later.close(5) == Unshipped()
    wait_for(lambda: not tracker._thread.is_alive())  # it writes no position any more
    assert unshipped(tmp_path) == Unshipped()
    assert len(server.stored) == 2


def test_another_place_gets_the_whole_journal(server, tracker_of):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": 0.5})
    tracker.close(5)
    other = Server("there")
    assert tracker_of(other).close(5) == Unshipped()
    assert other.stored == server.stored


def test_what_is_refused_is_kept_aside_and_does_not_block(server, tracker_of, tmp_path):
    said = []
    server.refuses = "bad"
    tracker = tracker_of(server, notice=said.append)
    tracker.open_run("a", "run a")
    tracker.upload("bad", tmp_path, ["gone"])
    tracker.log("a", 1, {"loss": 0.5})
    assert tracker.close(5) == Unshipped(refused=1) == unshipped(tmp_path)
    assert server.metrics == [("a", 1, {"loss": 0.5})]
    assert not any(isinstance(event, Upload) for event in server.stored)
    (refused,) = (tmp_path / "tracking.refused.jsonl").read_text().splitlines()
    assert json.loads(refused)["n"] == 2
    assert json.loads(refused)["data"]["why"] == "never"
    assert json.loads(refused)["data"]["event"]["kind"] == "upload"
    assert "refused" in said[0]


def test_what_was_refused_is_sent_again_by_a_later_driver(server, tracker_of, tmp_path):
    server.refuses = "b"
    tracker = tracker_of(server)
    for key in ("a", "b"):
        tracker.open_run(key, f"run {key}")
        tracker.log(key, 1, {"loss": 0.5})
        tracker.close_run(key, RunState.FINISHED)
    assert tracker.close(5) == Unshipped(refused=3)
    assert tracker_of(server).close(5) == Unshipped(refused=3), "as long as it is refused"
    assert len((tmp_path / "tracking.refused.jsonl").read_text().splitlines()) == 3
    server.refuses = None
    said = []
    assert tracker_of(server, notice=said.append).close(5) == Unshipped()
    assert [event.kind for event in server.stored if event.key == "b"] == [
        "open",
        "metrics",
        "close",
    ]
    assert "accepted 3 events" in said[0]
    assert not (tmp_path / "tracking.refused.jsonl").exists()


def test_what_is_blocked_for_good_does_not_hold_up_new_events(tracker_of):
    server = Odd()
    server.errors = [Refused("never")]
    tracker = tracker_of(server)
    tracker.tag("b", {"x": "y"})
    assert tracker.close(5) == Unshipped(refused=1)
    server.errors = [Blocked("it answers with an error")] * 2  # also as the run is closed again
    later = tracker_of(server)
    later.open_run("a", "run a")
    later.close(5)
    assert [event.kind for event in server.stored if event.key == "a"] == ["open"]


def test_a_batch_that_takes_too_long_is_made_smaller(tracker_of):
    class Strict(Server):
        """It takes so long for more than four events that the client gives up."""

        def deliver(self, events, runs):
            if len(events) > 4:
                raise Unavailable("timeout")
            super().deliver(events, runs)

    server = Strict()
    server.away = True
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    for step in range(40):
        tracker.log("a", step, {"loss": 0.5})
    server.away = False
    assert tracker.close(5) == Unshipped()
    assert [step for _, step, _ in server.metrics] == list(range(40))


def test_no_run_is_left_open_by_what_was_refused(tracker_of):
    class Picky(Server):
        """It refuses the first opening of a run, and knows which runs are open."""

        picky, open = True, ()

        def deliver(self, events, runs):
            for event in events:
                if self.picky and isinstance(event, RunOpened) and event.params:
                    raise Refused("params")
                if isinstance(event, RunOpened):
                    self.open = {*self.open, event.key}
                if isinstance(event, RunClosed):
                    self.open = {*self.open} - {event.key}
            super().deliver(events, runs)

    server = Picky()
    tracker = tracker_of(server)
    tracker.open_run("a", "run a", params={"width": 8})
    tracker.open_run("a", "run a")
    tracker.close_run("a", RunState.FINISHED)
    assert tracker.close(5) == Unshipped(refused=1)
    server.picky = False
    assert tracker_of(server).close(5) == Unshipped()
    assert server.open == set()


def test_what_was_refused_does_not_move_the_end_of_a_run(tracker_of):
    class Clock(Server):
        """It keeps the last closing that it gets of a run that is open, as MLflow does."""

        picky, end = True, None

        def deliver(self, events, runs):
            for event in events:
                if isinstance(event, RunOpened) and event.params:
                    if self.picky:
                        raise Refused("params")
                    self.end = None
                if isinstance(event, RunClosed):
                    self.end = (self.end or (event.time,))[0], event.state
            super().deliver(events, runs)

    server = Clock()
    tracker = tracker_of(server)
    tracker.open_run("a", "run a", params={"width": 8})
    tracker.open_run("a", "run a")
    tracker.close_run("a", RunState.FAILED)
    wait_for(lambda: server.end)
    first, _ = server.end
    wait_for(lambda: int(time.time() * 1000) > first)
    tracker.open_run("a", "run a", resume=False)
    tracker.close_run("a", RunState.FINISHED)
    assert tracker.close(5) == Unshipped(refused=1)
    server.picky = False
    assert tracker_of(server).close(5) == Unshipped()
    assert server.end == (first, RunState.FINISHED)


def test_a_server_that_lost_its_memory_gets_all_again(server, tracker_of):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.close(5)
    server.stored.clear()
    server.forgets = 1
    later = tracker_of(server)
    later.log("a", 1, {"loss": 0.5})
    assert later.close(5) == Unshipped()
    assert [type(event) for event in server.stored] == [RunOpened, Metrics]


def test_a_server_replaced_while_nobody_asked_gets_all_again(server, tracker_of):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.close_run("a", RunState.FINISHED)
    tracker.close(5)
    said, new = [], Server()
    assert tracker_of(new, notice=said.append).close(5) == Unshipped()
    assert new.stored == server.stored
    assert "no longer knows all runs" in said[0]
    assert tracker_of(new, notice=said.append).close(5) == Unshipped()
    assert len(said) == 1


def test_an_older_tag_that_was_refused_does_not_replace_a_newer_one(tracker_of):
    class Picky(Server):
        """It refuses one value of a tag, and has those of each run."""

        refused, tags = "old", {}

        def deliver(self, events, runs):
            for event in events:
                values = getattr(event, "tags", {})
                if self.refused in values.values():
                    raise Refused("that value")
                self.tags = {**self.tags, event.key: {**self.tags.get(event.key, {}), **values}}
            super().deliver(events, runs)

    server = Picky()
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.tag("a", {"best": "old", "other": "old"})
    tracker.tag("a", {"best": "new"})
    assert tracker.close(5) == Unshipped(refused=1)
    server.refused = None
    assert tracker_of(server).close(5) == Unshipped()
    assert server.tags == {"a": {"best": "new", "other": "old"}}


def test_a_server_that_forgets_for_good_does_not_block(server, tracker_of):
    server.forgets = 10_000
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    assert tracker.close(5) == Unshipped(refused=1)
    server.forgets = 0
    assert tracker_of(server).close(5) == Unshipped()
    assert [event.kind for event in server.stored] == ["open"]


def test_values_that_are_not_finite_are_left_out(server, tracker_of):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    tracker.log("a", 1, {"loss": math.nan, "other": math.inf, "fine": 1})
    assert tracker.close(5) == Unshipped()
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
    batch = journal.read(0, 1000)
    assert [number for number, _ in batch.events] == list(range(1, 401))
    assert batch.last == journal.last == 400
    assert [e.step for _, e in batch.events if e.key == "2"] == list(range(100))
    assert [number for number, _ in journal.read(390, 7).events] == list(range(391, 398))
    assert Journal(tmp_path / "journal").last == 400


def test_a_full_disk_is_told_with_the_file_and_corrupts_nothing(
    server, tracker_of, tmp_path, full_after
):
    tracker = tracker_of(server)
    tracker.open_run("a", "run a")
    path = tmp_path / "tracking.jsonl"
    step = 0

    def log_on():
        nonlocal step
        while True:
            step += 1
            tracker.log("a", step, {"valid/mrr@20": 0.25})

    with full_after(path.stat().st_size + 500), pytest.raises(OSError, match="too large") as told:
        log_on()
    assert told.value.filename == str(path)
    assert step > 1
    assert path.stat().st_size > 500
    for again in range(1, step + 2):  # as after a resumption: what is on record is not repeated
        tracker.log("a", again, {"valid/mrr@20": 0.25})
    assert tracker.close(10) == Unshipped()
    assert [at for _, at, _ in server.metrics] == list(range(1, step + 2))
    later = Journal(path)
    assert later.last == step + 2
    assert [number for number, _ in later.all()] == list(range(1, step + 3))


def test_a_step_that_was_written_though_its_write_failed_is_not_repeated(
    server, tracker_of, tmp_path, monkeypatch
):
    """As when the disk fails after the file has the record."""
    tracker, fsync, fails = tracker_of(server), os.fsync, [True]
    tracker.open_run("a", "run a")

    def fail_once(file):
        if threading.current_thread() is threading.main_thread() and fails:
            fails.pop()
            raise OSError(5, "Input/output error")
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_once)
        with pytest.raises(OSError, match="Input/output"):
            tracker.log("a", 1, {"loss": 1.0})
    for step in (1, 2):
        tracker.log("a", step, {"loss": 1.0})
    assert tracker.close(10) == Unshipped()
    resumed = tracker_of(server)
    for step in (1, 2, 3):
        resumed.log("a", step, {"loss": 1.0})
    assert resumed.close(10) == Unshipped()
    assert [step for _, step, _ in server.metrics] == [1, 2, 3]
    journal = Journal(tmp_path / "tracking.jsonl")
    assert [event.step for _, event in journal.all() if isinstance(event, Metrics)] == [1, 2, 3]

"""The journal under damage: undamaged events arrive once and in order, and the rest is counted."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.tracking.base import Tags
from mmsr.tracking.journal.file import EVENT, JOURNAL, pack
from mmsr.tracking.journal.position import COUNT, STATE
from mmsr.tracking.journal.shipment import Shipment, unshipped
from mmsr.tracking.journal.sink import Unavailable

IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


class Killed(BaseException):
    """The process ends here."""


class Server:
    """A sink that stores what it gets; after a kill, it gets the last events again."""

    place = "here"

    def __init__(self):
        self.stored = []
        self.away = self.kill = False
        self.repeats = set()

    def deliver(self, events, runs):
        if self.away:
            raise Unavailable("away")
        for event in events:
            if event.time in self.repeats:
                self.repeats.remove(event.time)
            else:
                self.stored.append(event.time)
        if self.kill:
            self.repeats = {event.time for event in events}
            raise Killed


def event_of(number):
    return Tags(key=f"run {number % 3}", time=number, tags={"text": 'a "quoted"\n{"n":1}' * 2})


def core_of(number):
    """The bytes that carry an event: its line but for the closing brace and the line break."""
    return pack(number, EVENT.dump_json(event_of(number)))[:-2]


class World:
    """A journal that is written, damaged and shipped, and what should come of it."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / JOURNAL
        self.server = Server()
        self.written = 0
        self.settled = 0
        self.expected = []
        self.restart()

    def restart(self):
        self.shipment = Shipment(self.folder, self.server, lambda _: None)

    def write(self, count):
        for _ in range(count):
            self.written += 1
            self.shipment.append(event_of(self.written))

    def ship(self, steps):
        for _ in range(steps):
            content = self.path.read_bytes() if self.path.exists() else b""
            more = self.shipment.step()
            passed = range(self.settled + 1, self.shipment.shipped + 1)
            self.expected += [number for number in passed if self._arrives(number, content)]
            self.settled = self.shipment.shipped
            if not more:
                return

    def outage(self):
        self.server.away = True
        with suppress(Unavailable):
            while self.shipment.step():
                pass
        self.settled = self.shipment.shipped
        self.server.away = False

    def kill(self):
        """The process ends after a delivery, before its position is written."""
        before, self.server.kill = len(self.server.stored), True
        with suppress(Killed):
            self.shipment.step()
        self.server.kill = False
        self.expected += self.server.stored[before:]
        self.settled = self.shipment.shipped
        self.restart()
        while self.server.repeats:
            self.ship(1)

    def damage(self, change, *, in_place):
        content = change(self.path.read_bytes() if self.path.exists() else b"")
        if in_place:
            self.path.write_bytes(content)
        else:  # as editors do
            draft = self.folder / "draft"
            draft.write_bytes(content)
            draft.replace(self.path)

    def lose_position(self, name, change):
        """One of the two files that record the position is damaged while nobody runs.

        Only the one counts events that wait; so where it is lost, they are shipped before.
        """
        if name == COUNT:
            self.ship(1000)
        path = self.folder / name
        if change is None:
            path.unlink(missing_ok=True)
        elif path.exists():
            path.write_bytes(change(path.read_bytes()))
        self.restart()

    def _arrives(self, number, content):
        return number not in self.expected and core_of(number) in content


fractions = st.floats(0, 1)
texts = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"\n", b"\r\n", core_of(2)]))


@st.composite
def changes(draw):
    """A byte range that is overwritten, removed, repeated, or inserted; or the end cut off."""
    kind = draw(st.sampled_from(["overwrite", "remove", "repeat", "insert", "cut", "line"]))
    low, high = sorted((draw(fractions), draw(fractions)))
    at, text = draw(fractions), draw(texts)

    def change(content):
        first, last, place = (round(share * len(content)) for share in (low, high, at))
        lines = content.splitlines(keepends=True)
        match kind:
            case "overwrite":
                return content[:first] + text + content[first + len(text) :]
            case "remove":
                return content[:first] + content[last:]
            case "repeat":
                return content[:place] + content[first:last] + content[place:]
            case "insert":
                return content[:place] + text + content[place:]
            case "cut":
                return content[:first]
            case _:  # a line is removed by hand
                gone = round(at * len(lines))
                return b"".join(lines[:gone] + lines[gone + 1 :])

    return change


ACTIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 5)),
    st.tuples(st.just("ship"), st.integers(1, 4)),
    st.tuples(st.just("damage"), changes(), st.booleans()),
    st.tuples(st.just("restart")),
    st.tuples(st.just("outage")),
    st.tuples(st.just("kill")),
    st.tuples(st.just("lose_position"), st.sampled_from([STATE, COUNT]), st.none() | changes()),
)


@settings(max_examples=3000)
@given(st.lists(ACTIONS, min_size=1, max_size=12))
def test_undamaged_events_arrive_once_in_order_and_the_missing_are_counted(actions):
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        world = World(Path(folder))
        world.write(4)
        for name, *arguments in actions:
            if name == "damage":
                world.damage(arguments[0], in_place=arguments[1])
            else:
                getattr(world, name)(*arguments)
        world.ship(1000)
        missing = world.written - len(world.expected)
        assert world.server.stored == world.expected
        assert world.expected == sorted(set(world.expected))
        left = world.shipment.unshipped()
        assert (left.waiting, left.lost) == (0, missing)
        assert unshipped(world.folder) == left


@pytest.fixture(autouse=True, scope="module")
def quick_disk():
    """Nothing here crashes the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield

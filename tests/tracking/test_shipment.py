"""A journal that is away for a while loses nothing."""

from __future__ import annotations

import pytest

from mmsr.tracking import Unshipped
from mmsr.tracking.base import Metrics
from mmsr.tracking.journal.file import JOURNAL
from mmsr.tracking.journal.shipment import Shipment, unshipped
from mmsr.tracking.journal.sink import Blocked

EVENTS = [Metrics(key="a", time=number, step=number, values={"x": 0.5}) for number in range(4)]


class Server:
    place = "http://host"

    def __init__(self):
        self.stored = []

    def deliver(self, events, runs):
        self.stored += events


@pytest.mark.parametrize("by_another", [False, True])
def test_a_journal_that_is_put_back_is_shipped(tmp_path, by_another):
    server = Server()
    shipment = Shipment(tmp_path, server, lambda _: None)
    for event in EVENTS:
        shipment.append(event)
    kept = (tmp_path / JOURNAL).rename(tmp_path / "kept")
    if by_another:
        shipment = Shipment(tmp_path, server, lambda _: None)
    for _ in range(4):
        with pytest.raises(Blocked, match="is gone: put it back"):
            shipment.step()
    assert unshipped(tmp_path, server.place) == shipment.unshipped() == Unshipped(waiting=4)
    kept.rename(tmp_path / JOURNAL)
    while shipment.step():
        pass
    assert server.stored == EVENTS
    assert shipment.unshipped() == Unshipped()

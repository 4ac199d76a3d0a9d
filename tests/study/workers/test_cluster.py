"""On a cluster that grows by itself, trials wait for the nodes that it may start."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmsr.study.workers.cluster import Capacity
from mmsr.study.workers.resources import Resources

HEAD = {"Alive": True, "Resources": {"CPU": 0.0}}
NODE = {"CPU": 8.0, "GPU": 1.0}


@pytest.fixture
def capacity(monkeypatch):
    """Capacity of a cluster of one-GPU nodes, which may have so many of them."""

    def of(there: int, most: int) -> int:
        alive = [{"Alive": True, "Resources": NODE}] * there
        groups = [SimpleNamespace(max_count=most, resources=NODE)]
        monkeypatch.setattr("ray.nodes", lambda: [HEAD, *alive])
        monkeypatch.setattr(
            "ray._private.state.state.get_cluster_config",
            lambda: SimpleNamespace(node_group_configs=groups),
        )
        return Capacity(Resources(cpu=2, gpu=0.5))()

    return of


@pytest.mark.parametrize(
    ("there", "most", "trials"),
    [(0, 8, 1), (1, 8, 4), (2, 8, 8), (6, 8, 16), (8, 8, 16), (9, 8, 18), (3, -1, 12), (3, 0, 6)],
)
def test_the_cluster_doubles_until_it_is_full_grown(capacity, there, most, trials):
    assert capacity(there, most) == trials

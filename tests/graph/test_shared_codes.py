"""Modality codes of a home in an object store: computed by one machine, found by the others."""

from __future__ import annotations

import numpy as np
import pytest

from mmsr.config import GraphConfig
from mmsr.graph import codes
from mmsr.graph.codes import modality_codes

CONFIG = GraphConfig(n_codes=4, links_per_item=2)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Become another machine of a cluster whose home is in an object store."""
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv("MMSR_HOME", store.as_uri())

    def become(name):
        monkeypatch.setenv("MMSR_COPIES", str(tmp_path / name))
        return store / "cache" / "codes"

    return become


def equal(one, other):
    return all(np.array_equal(one[m].links, other[m].links) for m in one) and all(
        np.array_equal(one[m].centres, other[m].centres) for m in one
    )


def test_another_machine_computes_nothing(shop, machine, monkeypatch):
    machine("first")
    first = modality_codes(shop, CONFIG)
    machine("second")
    monkeypatch.setattr(codes, "compute_codes", None)
    assert equal(modality_codes(shop, CONFIG), first)


def test_a_damaged_copy_in_the_store_is_replaced(shop, machine, monkeypatch):
    shared = machine("first")
    first = modality_codes(shop, CONFIG)
    for path in shared.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    machine("second")
    assert equal(modality_codes(shop, CONFIG), first)
    machine("third")
    monkeypatch.setattr(codes, "compute_codes", None)
    assert equal(modality_codes(shop, CONFIG), first)


def test_a_store_that_is_away_is_no_obstacle(shop, machine):
    shared = machine("first")
    shared.parent.mkdir()
    shared.write_text("a file where the folder should be")
    assert modality_codes(shop, CONFIG)

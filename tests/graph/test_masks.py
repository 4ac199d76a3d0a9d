"""Masks of missing modalities: seeded, nested, and exact at both ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.errors import UserError
from mmsr.graph.masks import lost_items, without

N_ITEMS = 50
RATES = st.floats(0, 1)


def links(gaps: set[int] = frozenset(), k: int = 2) -> np.ndarray:
    found = np.arange(N_ITEMS * k).reshape(N_ITEMS, k) % 7
    found[list(gaps)] = -1
    return found


@settings(deadline=None)
@given(st.sets(st.integers(0, N_ITEMS - 1)), RATES, RATES, st.integers(0, 2**32 - 1))
def test_what_is_missing_at_a_rate_is_missing_at_a_higher_one(gaps, first, second, seed):
    low, high = sorted((first, second))
    table = links(gaps)
    fewer, more = (lost_items(table, "image", rate, seed) for rate in (low, high))
    assert not (fewer & ~more).any()
    have = N_ITEMS - len(gaps)
    assert abs(fewer.sum() - low * have) <= 0.5
    assert not fewer[list(gaps)].any(), "an item cannot lose what it has not"
    assert (fewer == lost_items(table, "image", low, seed)).all()


@settings(deadline=None)
@given(st.sets(st.integers(0, N_ITEMS - 1)), st.integers(0, 99), RATES)
def test_a_subset_of_modalities_loses_no_more_than_all_of_them(gaps, seed, rate):
    table = {"image": links(gaps), "text": links()}
    one, both = without(table, ["image"], rate, seed), without(table, ["image", "text"], rate, seed)
    assert (one["image"] == both["image"]).all()
    assert one["text"] is table["text"]
    kept = both["text"] >= 0
    assert (both["text"][kept] == table["text"][kept]).all()


def test_rate_0_changes_nothing_and_rate_1_leaves_nothing():
    table = {"image": links({3, 4}), "text": links()}
    none, all_ = (without(table, table, rate, 5) for rate in (0.0, 1.0))
    for modality, link in table.items():
        assert np.array_equal(none[modality], link)
        assert (all_[modality] == -1).all()


def test_modalities_and_seeds_choose_differently():
    table = links()
    chosen = lost_items(table, "image", 0.5, 1)
    assert (chosen != lost_items(table, "text", 0.5, 1)).any()
    assert (chosen != lost_items(table, "image", 0.5, 2)).any()


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(rate):
    with pytest.raises(UserError, match="from 0 to 1"):
        lost_items(links(), "image", rate, 0)

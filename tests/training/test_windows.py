"""Pieces of histories hold the targets of their prefixes, each once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmsr.data.splits import prefixes_between
from mmsr.training.windows import Windows

users = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4), st.integers(0, 4)), min_size=1)


@given(users, st.integers(1, 5))
def test_each_target_follows_the_items_before_it(shapes, longest):
    lengths = np.array([n for n, _, _ in shapes])
    offsets = np.concatenate([[0], lengths.cumsum()])
    items = np.random.default_rng(0).permutation(offsets[-1]).astype(np.int32)
    first = np.array([early for _, early, _ in shapes])
    last = np.maximum(lengths - [late for _, _, late in shapes], 0)
    prefixes = prefixes_between(items, offsets, first, last)
    windows = Windows.of(prefixes, longest)
    rows = np.arange(len(windows))[::-1]
    histories, targets = windows.batch(rows, longest)
    found = []
    for history, following in zip(histories, targets, strict=True):
        n = int((history >= 0).sum())
        assert (history[:n] >= 0).all()
        assert (following[n:] == -1).all()
        begin = int(np.flatnonzero(items == history[0])[0])
        np.testing.assert_array_equal(items[begin : begin + n], history[:n])
        found += following[following >= 0].tolist()
        for place in np.flatnonzero(following >= 0):
            assert items[begin + place + 1] == following[place]
    assert sorted(found) == sorted(prefixes.target_items().tolist())
    assert windows.n_targets(rows) == len(prefixes)
    np.testing.assert_array_equal(windows.lengths(longest)[rows], (histories >= 0).sum(axis=1))


def test_nothing_gives_no_piece():
    none = prefixes_between(
        np.array([1], dtype=np.int32), np.array([0, 1]), np.array([0]), np.array([1])
    )
    assert len(Windows.of(none, 3)) == 0

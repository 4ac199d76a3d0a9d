"""Splits and prefixes against slow loops, and the properties that every protocol owes."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsr.data.splits import (
    BY_MOMENT,
    COLD_ITEMS,
    PADDING,
    PROTOCOLS,
    Histories,
    Prefixes,
    moments,
    prefixes_between,
    split_leave_one_out,
    split_ratio,
    split_temporal,
)
from mmsr.errors import UserError


def histories_of(times: list[list[int]]) -> Histories:
    lengths = [len(user) for user in times]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.array([moment for user in times for moment in user])
    return Histories(np.arange(offsets[-1], dtype=np.int32), offsets, flat)


sorted_times = st.lists(
    st.lists(st.integers(0, 50), min_size=2, max_size=30).map(sorted), min_size=1, max_size=12
)


@given(times=sorted_times, protocol=st.sampled_from(sorted(PROTOCOLS)))
def test_parts_are_disjoint_and_every_target_has_a_history(
    times: list[list[int]], protocol: str
) -> None:
    histories = histories_of(times)
    try:
        split = PROTOCOLS[protocol](histories, None)
    except UserError:
        assert protocol in BY_MOMENT
        return
    lengths, seen = histories.lengths, histories.lengths - split.n_test
    assert (split.n_valid >= 0).all()
    assert (split.n_test >= 0).all()
    assert (split.n_valid + split.n_test <= lengths).all()
    parts = [
        prefixes_between(histories.items, histories.offsets, first, last)
        for first, last in pairwise([np.zeros_like(seen), seen - split.n_valid, seen, lengths])
    ]
    if protocol != COLD_ITEMS:  # see test_cold_items.py
        assert tuple(map(len, parts)) == split.count_targets(lengths)
    targets = np.concatenate([part.targets for part in parts])
    assert len(set(targets)) == len(targets)
    # All positions but the first of each history are targets of exactly one part.
    assert set(targets) == set(range(int(lengths.sum()))) - set(histories.offsets[:-1])
    for part in parts:
        assert (part.targets > part.starts).all()
        assert (part.starts == histories.offsets[part.users]).all()


@given(times=sorted_times)
def test_ratio_is_the_papers_rule(times: list[list[int]]) -> None:
    split = split_ratio(histories_of(times))
    for user, n_test, n_valid in zip(times, split.n_test, split.n_valid, strict=True):
        assert n_test == int(0.2 * len(user))
        assert n_valid == int(0.2 * (len(user) - n_test))


def test_leave_one_out_takes_the_last_two() -> None:
    split = split_leave_one_out(histories_of([[1, 2], [1, 2, 3], [1, 2, 3, 4]]))
    assert split.n_test.tolist() == [1, 1, 1]
    assert split.n_valid.tolist() == [0, 1, 1]


@given(times=sorted_times)
def test_temporal_lets_nothing_of_the_future_into_development(times: list[list[int]]) -> None:
    histories = histories_of(times)
    try:
        split = split_temporal(histories)
    except UserError:
        return
    assert split.valid_from is not None
    assert split.test_from is not None
    assert split.valid_from < split.test_from
    for user, n_valid, n_test in zip(times, split.n_valid, split.n_test, strict=True):
        cut, valid_cut = len(user) - n_test, len(user) - n_test - n_valid
        assert all(moment >= split.test_from for moment in user[cut:])
        assert all(split.valid_from <= moment < split.test_from for moment in user[valid_cut:cut])
        assert all(moment < split.valid_from for moment in user[:valid_cut])


@given(times=sorted_times)
def test_temporal_gives_test_as_much_as_whole_moments_allow(times: list[list[int]]) -> None:
    everything = np.array([moment for user in times for moment in user])
    try:
        chosen = split_temporal(histories_of(times)).test_from
    except UserError:
        return
    shares = {m: np.mean(everything >= m) for m in everything.tolist()}
    fitting = [moment for moment, share in shares.items() if share <= 0.2]
    assert chosen == (min(fitting) if fitting else max(shares))


numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
fractions = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 0.0, 1.5])


@given(
    values=st.one_of(*(st.lists(kind, min_size=1, max_size=40) for kind in (numbers, fractions))),
    share=st.floats(0, 0.99),
    data=st.data(),
)
def test_moments_are_those_of_sorted_copies(values, share, data):
    kind = np.float64 if any(isinstance(value, float) for value in values) else np.int64
    times = np.array(values, dtype=kind)
    before = data.draw(st.none() | st.sampled_from(values))
    span = data.draw(st.sampled_from([1, 2, 7, 1 << 20]))
    counted = sorted(time for time in times.tolist() if before is None or time < before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "_SPAN", span)
        if counted:
            chosen = counted[len(counted) - 1 - int(share * len(counted))]
            expected = min((time for time in counted if time > chosen), default=chosen)
            assert moments.moment_leaving(times, share, before) == expected
        if before is not None:
            assert moments.several_before(times, before) == (len(set(counted)) > 1)
        ends = data.draw(st.sets(st.integers(1, len(values))))
        offsets = np.array(sorted({0, len(values), *ends}))
        found = moments.count_from(times, offsets, values[0])
    assert found.tolist() == [
        sum(time >= values[0] for time in times[start:end].tolist())
        for start, end in pairwise(offsets)
    ]


def test_a_split_by_time_copies_no_moments(tmp_path, monkeypatch):
    monkeypatch.setattr(moments, "_SPAN", 1 << 12)
    n_users, length = 20_000, 50
    path = tmp_path / "times.raw"
    rng = np.random.default_rng(1)
    rng.integers(1 << 31, size=(n_users, length)).tofile(path)
    times = np.memmap(path, np.int64, "r+", shape=(n_users * length,))
    histories = Histories(np.zeros(0, np.int32), np.arange(n_users + 1) * length, times)
    tracemalloc.start()
    split = split_temporal(histories)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert split.n_test.sum() <= 0.2 * len(times)
    assert peak < times.nbytes / 2


def test_temporal_with_a_given_moment() -> None:
    histories = histories_of([[1, 2, 3, 10], [4, 5, 11, 12], [20, 21]])
    split = split_temporal(histories, 10)
    assert split.n_test.tolist() == [1, 2, 2]
    assert split.valid_from == 5
    assert split.n_valid.tolist() == [0, 1, 0]
    # The third user's first item comes after the moment: it has no history, so it is no target.
    assert split.count_targets(histories.lengths) == (2 + 0, 1, 1 + 2 + 1)


@pytest.mark.parametrize("test_from", [None, 7])
def test_temporal_needs_time_to_pass(test_from: float | None) -> None:
    with pytest.raises(UserError, match="two moments"):
        split_temporal(histories_of([[7, 7, 7], [7, 7]]), test_from)


@given(
    lengths=st.lists(st.integers(2, 40), min_size=1, max_size=8),
    max_history=st.integers(1, 45),
    data=st.data(),
)
def test_batch_is_what_a_loop_gathers(
    lengths: list[int], max_history: int, data: st.DataObject
) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = np.random.default_rng(0).integers(0, 99, offsets[-1]).astype(np.int32)
    examples = prefixes_between(items, offsets, np.zeros(len(lengths), int), np.array(lengths))
    rows = np.array(data.draw(st.lists(st.integers(0, len(examples) - 1), min_size=1, max_size=20)))
    histories, targets = examples.batch(rows, max_history)
    expected = []
    for row in rows:
        start, target = examples.starts[row], examples.targets[row]
        expected.append(items[start:target][-max_history:].tolist())
    longest = max(map(len, expected))
    assert histories.tolist() == [h + [PADDING] * (longest - len(h)) for h in expected]
    assert targets.tolist() == items[examples.targets[rows]].tolist()
    assert histories.dtype == targets.dtype == np.int64
    assert examples.lengths(max_history)[rows].tolist() == [len(history) for history in expected]


def test_select_keeps_the_order_asked_for() -> None:
    examples = prefixes_between(
        np.arange(6, dtype=np.int32), np.array([0, 4, 6]), np.zeros(2, int), np.array([4, 2])
    )
    chosen = examples.select(np.array([3, 0]))
    assert chosen.target_items().tolist() == [5, 1]
    assert chosen.users.tolist() == [1, 0]
    assert chosen.items is examples.items


def test_no_rows_give_an_empty_batch() -> None:
    nothing = np.array([], dtype=np.int64)
    examples = Prefixes(np.arange(3, dtype=np.int32), nothing, nothing, nothing.astype(np.int32))
    histories, targets = examples.batch(nothing, 5)
    assert histories.shape == (0, 0)
    assert targets.shape == (0,)

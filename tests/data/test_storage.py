"""Histories in columns: divided into development and test, joined again, hashed without moments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsr.data import Sources, prepare
from mmsr.data.storage import content_hash, joined, moments_of, parted, without_moments
from mmsr.errors import UserError


@given(st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 6))))
def test_joined_undoes_parted(users: list[tuple[list[int], int]]) -> None:
    histories = [history for history, _ in users]
    n_test = [min(n, len(history)) for history, n in users]
    offsets = np.cumsum([0, *map(len, histories)])
    values = np.array([item for history in histories for item in history], dtype=np.int32)
    seen, test = parted(values, offsets, np.array(n_test, dtype=np.int64))
    cuts = [len(history) - n for history, n in zip(histories, n_test, strict=True)]
    assert seen.to_pylist() == [h[:cut] for h, cut in zip(histories, cuts, strict=True)]
    assert test.to_pylist() == [h[cut:] for h, cut in zip(histories, cuts, strict=True)]
    flat = [array.to_numpy() for part in (seen, test) for array in (part.values, part.offsets)]
    assert joined(*flat).tolist() == values.tolist()
    assert (flat[1] + flat[3]).tolist() == offsets.tolist()


def test_moments_are_no_part_of_the_content(
    home: Path, purchases: dict[str, list[Any]], write_table: Callable[..., Path]
) -> None:
    first = prepare("a", Sources(write_table("a.csv", purchases))).dataset
    later = {**purchases, "timestamp": [time * 3 + 1_000 for time in purchases["timestamp"]]}
    other = prepare("b", Sources(write_table("b.csv", later))).dataset
    assert first.content_hash == other.content_hash
    moments = [moments_of(dataset.table).to_numpy() for dataset in (first, other)]
    assert (moments[0] * 3 + 1_000 == moments[1]).all()
    tables = {"development.arrow": without_moments(first.table)}
    assert tables["development.arrow"].column_names == ["user", "items", "n_valid"]
    hashed = content_hash("ratio", tables)
    assert hashed == content_hash("ratio", {"development.arrow": without_moments(other.table)})
    assert hashed != content_hash("ratio", {"development.arrow": first.table})


def test_moments_of_other_items_are_refused() -> None:
    items = pa.array([[1, 2], [3]], pa.large_list(pa.int32()))
    for wrong in ([[1, 2, 3], []], [[1], [2, 3]], [[1, 2], None]):
        moments = pa.array(wrong, pa.large_list(pa.int64()))
        with pytest.raises(UserError, match="moments are damaged"):
            moments_of(pa.table({"items": items, "moments": moments}))
    assert moments_of(pa.table({"items": items})) is None

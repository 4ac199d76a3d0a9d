"""No two ids become one, and no id changes."""

from __future__ import annotations

import decimal
from pathlib import Path

import pyarrow as pa
import pytest

from mmsr.data.importers.columns import as_ids
from mmsr.data.importers.readers.rows import Rows
from mmsr.errors import UserError


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    (tmp_path / "r.parquet").touch()
    return Rows(tmp_path / "r.parquet")


def ids(values: list, kind: pa.DataType, rows: Rows) -> list[str]:
    found = as_ids(pa.chunked_array([pa.array(values, kind)]), "item_id", rows)
    return found.values.take(pa.array(found.codes)).to_pylist()


LARGE = [2**53 + place for place in range(30)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (LARGE, pa.int64()),
        (LARGE, pa.uint64()),
        ([2**64 - 1, 2**64 - 2], pa.uint64()),
        ([decimal.Decimal(10**30 + place) for place in range(3)], pa.decimal128(38, 0)),
        ([2.0**53 - 1, 0.0, 7.0], pa.float64()),
        ([2.0**24 - 1, 7.0], pa.float32()),
        (["07", "7", " 7", "7.0", "1E5", "1.5"], pa.large_string()),
    ],
)
def test_ids_are_kept(values: list, kind: pa.DataType, rows: Rows) -> None:
    expected = [str(value) if not isinstance(value, float) else str(int(value)) for value in values]
    assert ids(values, kind, rows) == expected


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([float(place) for place in LARGE], pa.float64(), "row 1 has item_id 9007199254740992 as"),
        ([1.0, -(2.0**53)], pa.float64(), "row 2 has item_id -9007199254740992 as double"),
        ([1.0, 2.0**24], pa.float32(), "row 2 has item_id 16777216 as float: .* below 16,777,216"),
        ([1.0, 1e300], pa.float64(), "row 2 has item_id 1000.* as double"),
        ([1.0, float("inf")], pa.float64(), "row 2 has item_id inf as double"),
        ([1.0, 2.5], pa.float64(), "item_id is double: ids must be text or whole numbers"),
        ([1.0, None], pa.float64(), "row 2 has no item_id"),
        ([1.0, float("nan")], pa.float64(), "row 2 has no item_id"),
        ([decimal.Decimal("1.5")], pa.decimal128(9, 1), "item_id is decimal.*: ids must be"),
        (["a", "b\nc"], pa.large_string(), r"'b\\nc' has a line break, tab or control"),
        (["a", "b\0"], pa.large_string(), "has a line break, tab or control"),
        (["a", "  "], pa.large_string(), "'  ' is blank: every row needs an id"),
        (["9.78014E+12", "9.78015E+12"], pa.large_string(), "a number whose last digits are gone"),
        (["9.007199254740992e+15"], pa.large_string(), "a number whose last digits are gone"),
    ],
)
def test_ids_that_cannot_be_kept(values: list, kind: pa.DataType, message: str, rows: Rows) -> None:
    with pytest.raises(UserError, match=message):
        ids(values, kind, rows)

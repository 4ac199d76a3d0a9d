"""Moments keep their order to the last digit, and are read in one way, or are refused."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsr.data.importers.readers.rows import Rows
from mmsr.data.importers.times import Times, as_times
from mmsr.errors import UserError

DAY = 86_400


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    (tmp_path / "r.parquet").touch()
    return Rows(tmp_path / "r.parquet")


def times(values: list, kind: pa.DataType, rows: Rows) -> Times:
    return as_times(pa.chunked_array([pa.array(values, kind)]), rows)


TEXT = pa.large_string()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1_400_000_000_000_000_001, 1_400_000_000_000_000_000], pa.timestamp("ns")),
        ([1_400_000_000_000_000_001, 1_400_000_000_000_000_000], pa.timestamp("ns", "UTC")),
        ([1_400_000_000_000_000_001, 1_400_000_000_000_000_000], pa.int64()),
        (["1400000000000000001", "1400000000000000000"], TEXT),
        (["2014-07-23T10:00:00.000000001", "2014-07-23T10:00:00"], TEXT),
        (["2014-07-23T10:00:00.000001", "2014-07-23T10:00:00"], TEXT),
        (["2014-07-23T10:00:00.1234567Z", "2014-07-23T12:00:00.1234566+02:00"], TEXT),
        (["1406073600.1234567", "1406073600.1234564"], TEXT),
        ([decimal.Decimal(10**17 + 1), decimal.Decimal(10**17)], pa.decimal128(38, 2)),
    ],
)
def test_moments_keep_their_order(values: list, kind: pa.DataType, rows: Rows) -> None:
    later, earlier = times(values, kind, rows).values
    assert later > earlier


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (
            [1.4e18, 1.4e18 + 256],
            pa.float64(),
            "row 1 has timestamp 1400000000000000000 as a float",
        ),
        (["1400000000000000001", "1.5"], TEXT, "as a float: .* below 9,007,199,254,740,992"),
        (["18446744073709551617"], TEXT, "row 1 has timestamp 18446744073709551616 as a float"),
        (["1406073600.12345678", "1406073600.12345679"], TEXT, "floats keep 15 digits"),
        (["0." + "1" * 24, "1.5"], TEXT, "floats keep 15 digits"),
        (
            [decimal.Decimal("1406073600.12345678"), decimal.Decimal("1406073600.12345679")],
            pa.decimal128(38, 8),
            "floats keep 15 digits",
        ),
        (["2014-07-23T10:00:00.0000000001", "2014-07-23Z"], TEXT, "nine digits of a second"),
        ([10**15], pa.timestamp("s"), "is no date of our calendar"),
        (["23/07/2014"], TEXT, "'23/07/2014': day and month cannot be told apart"),
        (["07.08.2014", "23.07.2014"], TEXT, "row 1 .* day and month cannot be told apart"),
        (["7-8-14"], TEXT, "day and month cannot be told apart"),
        (["2014-07-23", "now"], TEXT, "row 2 has timestamp 'now': use numbers or ISO dates"),
        (["2014-07-23", "2014"], TEXT, "row 2 has timestamp '2014'"),
        (["0x10", "17"], TEXT, "row 1 has timestamp '0x10': write it in decimal digits"),
        (["17", " -0X1f"], TEXT, "row 2 has timestamp ' -0X1f': write it in decimal digits"),
        (["1,406,073,600"], TEXT, "'1,406,073,600': use numbers or ISO dates"),
        (["999", "1.000"], TEXT, "row 2 has timestamp '1.000': write 1000 or 1.00"),
        (["1.250", "2", "1.500"], TEXT, "row 1 has timestamp '1.250': write 1250 or 1.2500 "),
        (["2014-07-23 10:00:00 UTC", "now UTC"], TEXT, "row 2 has timestamp 'now UTC': use numb"),
        ([1.4e9, 1.4e9 + 128], pa.float32(), "row 1 .* 1400000000 as .* only below 16,777,216"),
        ([1.0, 2.0**24], pa.float32(), "row 2 has timestamp 16777216 as a float"),
        ([2049.0, 2048.0], pa.float16(), "row 1 has .* as a float: .* only below 2,048: write in"),
        ([1_406_073_600, 1_406_073_600_000], pa.int64(), "row 1 has .* it looks like seconds, but"),
        (
            ["1406073600", "1406073600000000"],
            TEXT,
            "it looks like .*, but others, e.g. 14060736000*",
        ),
        ([1.4e9, 1.4e9, 1.4e12], pa.float64(), "row 3 .* 1400000000000: it looks like millisec"),
    ],
)
def test_moments_that_cannot_be_kept(
    values: list, kind: pa.DataType, message: str, rows: Rows
) -> None:
    with pytest.raises(UserError, match=message):
        times(values, kind, rows)


@pytest.mark.parametrize(
    "values",
    [
        ["1.5", "2.0", "12.345"],
        ["0.5", "1.000", "999"],
        ["1.000", "12.345"],
        ["1406073600.5", "1406073600.123"],
        ["1e9", "1.0e9"],
        [str(10**8 + 10**9 * step) for step in range(200)],
        ["0", "1406073600000"],
        ["1406073600", "2406073600"],
    ],
)
def test_numbers_that_are_plain(values: list[str], rows: Rows) -> None:
    assert times(values, TEXT, rows).values.tolist() == [float(value) for value in values]


def test_small_floats_of_32_bits_are_kept(rows: Rows) -> None:
    assert times([1.5, 2.0**24 - 1], pa.float32(), rows).values.tolist() == [1.5, 2**24 - 1]


@pytest.mark.parametrize(
    "text",
    [
        "2014-07-23",
        "2014-07-23 00:00",
        "2014-07-23T00:00:00",
        "2014-07-23T00:00:00.000",
        "2014-07-23T00:00:00Z",
        "2014-07-23T02:00:00+02:00",
        "2014-07-23 02:00:00 +02:00",
        "2014/07/23",
        "20140723T000000",
        "2014-07-23 00:00:00 UTC",
        "2014-07-23 00:00:00.000000 UTC",
        "2014-07-23T00:00:00UTC",
    ],
)
def test_one_moment_in_many_forms(text: str, rows: Rows) -> None:
    found = times([text, "2014-07-24T00:00:00"], TEXT, rows)
    assert found.dated
    assert (np.diff(found.values) == DAY * 10**6).all()
    assert found.show(found.values[0].item()) == "2014-07-23T00:00:00"


@given(st.lists(st.datetimes(), min_size=1, max_size=5), st.sampled_from(["us", "ns", "text"]))
def test_dates_are_those_of_the_calendar(tmp_path_factory, moments, how):
    path = tmp_path_factory.getbasetemp() / "r.parquet"
    path.touch()
    epoch = datetime.datetime(1970, 1, 1)
    if how == "ns":
        moments = [max(min(m, datetime.datetime(2262, 1, 1)), epoch) for m in moments]
    values = [moment.isoformat() for moment in moments] if how == "text" else moments
    found = times(values, TEXT if how == "text" else pa.timestamp(how), Rows(path))
    exact = [(moment - epoch) // datetime.timedelta(microseconds=1) for moment in moments]
    assert (found.dated, found.unit) == (True, "us")
    assert found.values.tolist() == exact


@pytest.mark.parametrize(
    ("values", "dated", "unit", "text", "expected"),
    [
        ([0], True, "us", "1970-01-01T00:00:01.0000001", 1_000_001),
        ([0], True, "ns", "1970-01-01T00:00:01.0000001", 1_000_000_100),
        ([0], True, "us", "1970-01-01", 0),
        ([0], True, "us", "1970-01-01 00:00:02 UTC", 2_000_000),
        ([0], False, "us", "7", 7),
        ([0.5], False, "us", "7.5", 7.5),
    ],
)
def test_a_moment_to_compare_with(values, dated, unit, text, expected):
    assert Times(np.array(values), dated, unit).parse(text, "--test-from") == expected


@pytest.mark.parametrize(
    ("times", "shown"),
    [
        (Times(np.array([1_406_073_600.5]), dated=False), "1406073600.5"),
        (Times(np.array([1_406_073_600.0]), dated=False), "1406073600"),
        (Times(np.array([1_406_073_600]), dated=False), "1406073600"),
        (Times(np.array([1_500_000]), dated=True), "1970-01-01T00:00:01.5"),
        (Times(np.array([20_000_000_001]), dated=True, unit="ns"), "1970-01-01T00:00:20.000000001"),
        (Times(np.array([20_000_000]), dated=True), "1970-01-01T00:00:20"),
    ],
)
def test_a_moment_is_shown_to_its_last_digit(times: Times, shown: str) -> None:
    assert times.show(times.values[0].item()) == shown

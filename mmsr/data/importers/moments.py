"""Dates as ticks since 1970, and the check that floats tell numbers apart that differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.data.importers.bounded.duck import connected
from mmsr.data.importers.bounded.parts import (
    Column,
    first_row,
    parts,
    spans,
    value_at,
)
from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_ISO = r"^\d{4}[-/.]?\d{1,2}([-/.]?\d{1,2}([T ][\d:.]+ ?(Z|[+-][\d:]+)?)?)?$"
_UTC = r"([T ]\d[\d:.]*) ?UTC$"
"""How BigQuery ends a moment; ISO 8601 says Z."""
_WITH_MONTH = r"^\d{4}[-/.]|[T ]"
"""What tells a date from a number of digits alone."""
_DAY_OR_MONTH = r"^\s*\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
_FINER_THAN_US = r"\.\d{7,}"
_FINER_THAN_NS = r"\.\d{10,}"
_ONE_US, _ONE_NS = "1970-01-01T00:00:00.000001", "1970-01-01T00:00:00.000000001"
"""Moments whose company makes pandas read others as microseconds, or as nanoseconds."""
_DECIMAL = pa.decimal128(38, 18)
Refuse = Callable[[int, str, str], UserError]
"""Builds the error for a moment from its row, the moment as it is shown, and what to do."""
Ticks = tuple[NDArray[np.int64], bool, str]
"""Ticks since 1970, that they are of dates, and their unit: `us`, or `ns` where needed."""


def ticks_of_dates(column: Column, scratch: Scratch) -> Ticks:
    """Microseconds since 1970, or nanoseconds where some moments are that fine.

    Parameters
    ----------
    column : timestamps or dates, none missing.
    scratch : space for the ticks.

    Raises
    ------
    pyarrow.ArrowInvalid : a moment is beyond 64 bits.
    """
    unit = "ns" if pa.types.is_timestamp(column.type) and column.type.unit == "ns" else "us"
    kind = pa.timestamp(unit)
    ticks = scratch.filled(column, lambda part: part.cast(kind).cast(pa.int64()), np.int64)
    return _coarsest(ticks, unit)


def ticks_of_texts(column: Column, refuse: Refuse, remedy: str, scratch: Scratch) -> Ticks:
    """Read dates as text: most by Arrow, the rarer forms of ISO 8601 by pandas.

    Parameters
    ----------
    column : texts, none missing.
    refuse : builds the error.
    remedy : what to do about a text that is no date.
    scratch : space for the ticks.

    Raises
    ------
    UserError : a text is no date, or one that can be read in two ways.
    """
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return scratch.filled(column, partial(_ticks, kind), np.int64), True, "us"
        except pa.ArrowInvalid:
            continue
    too_fine = first_row(
        column, lambda part: pc.match_substring_regex(_with_z(part), _FINER_THAN_NS)
    )
    if too_fine >= 0:
        shown = repr(value_at(column, too_fine))
        raise refuse(too_fine, shown, "give nine digits of a second at most")
    fine = any(
        pc.any(pc.match_substring_regex(part, _FINER_THAN_US)).as_py() for part in column.chunks
    )
    ticks = scratch.array(len(column), np.int64)
    bad = _Misfits()
    for start, part in parts(column):
        texts, moments = _moments(_with_z(part), fine=fine)
        bad.add(start, texts, moments)
        ticks[start : start + len(part)] = moments.to_numpy().view(np.int64)
    if (row := bad.worst()) is not None:
        text = value_at(column, row)
        if pc.match_substring_regex(pa.scalar(text), _DAY_OR_MONTH).as_py():
            remedy = "day and month cannot be told apart: write ISO dates (2014-07-23)"
        raise refuse(row, repr(text), remedy)
    return _coarsest(ticks, "ns" if fine else "us")


def _ticks(kind: pa.DataType, part: pa.Array) -> pa.Array:
    return _with_z(part).cast(kind).cast(pa.int64())


def _with_z(part: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(part, _UTC, r"\1Z")


def _moments(part: pa.Array, *, fine: bool) -> tuple[pd.Series, pd.Series]:
    """The texts, and their moments in UTC; NaT where they are no dates."""
    import pandas as pd

    iso = pc.and_(pc.match_substring_regex(part, _ISO), pc.match_substring_regex(part, _WITH_MONTH))
    texts = pd.Series(part.to_pylist(), dtype=object)
    dates = texts.where(iso.to_numpy(zero_copy_only=False), None)
    dates[len(dates)] = _ONE_NS if fine else _ONE_US
    moments = pd.to_datetime(dates, format="ISO8601", utc=True, errors="coerce")
    in_utc = moments.iloc[:-1].dt.tz_convert(None)
    return texts, in_utc.dt.as_unit("ns" if fine else "us")  # pandas 2 has nanoseconds always


class _Misfits:
    """Texts that are no dates, and among them those that are no numbers either."""

    def __init__(self) -> None:
        self._counts = [0, 0, 0]
        self._first = [-1, -1, -1]

    def add(self, start: int, texts: pd.Series, moments: pd.Series) -> None:
        """Count the misfits of a part that begins at row `start`."""
        import pandas as pd

        bad = moments.isna().to_numpy()
        no_number = pd.to_numeric(texts, errors="coerce").isna().to_numpy()
        for place, found in enumerate((bad & no_number, bad, no_number)):
            if self._first[place] < 0 and found.any():
                self._first[place] = start + int(found.argmax())
            self._counts[place] += int(found.sum())

    def worst(self) -> int | None:
        """Row of the text to complain about: the first of the rarer kind; None without misfits."""
        neither, bad, no_number = self._first
        if bad < 0:
            return None
        if neither >= 0:
            return neither
        return max(bad if self._counts[1] <= self._counts[2] else no_number, 0)


def _coarsest(ticks: NDArray[np.int64], unit: str) -> Ticks:
    """Nanoseconds as microseconds, unless some are finer than these."""
    if unit == "us":
        return ticks, True, unit
    if any((ticks[span] % 1000).any() for span in spans(len(ticks))):
        return ticks, True, unit
    for span in spans(len(ticks)):
        ticks[span] //= 1000
    return ticks, True, "us"


def check_exact(
    column: Column, floats: NDArray[np.float64], refuse: Refuse, scratch: Scratch
) -> None:
    """Check that numbers that differ, texts or decimals, differ as floats too.

    Parameters
    ----------
    column : the numbers.
    floats : the same as floats.
    refuse : builds the error.
    scratch : space to compare them.

    Raises
    ------
    UserError : two differ that are one float, or a number has more digits than can be compared.
    """
    remedy = "floats keep 15 digits: give fewer digits, or whole numbers of a smaller unit"
    try:
        row = _indistinct(column, floats, scratch)
    except pa.ArrowInvalid:
        row = _longest(column)
    if row is not None:
        raise refuse(row, str(value_at(column, row)), remedy) from None


def _longest(column: Column) -> int:
    """The first of the rows that are longest as text."""
    most, row = -1, 0
    for start, part in parts(column):
        lengths = pc.binary_length(part.cast(pa.large_string())).to_numpy(zero_copy_only=False)
        if lengths.max(initial=-1) > most:
            most, row = int(lengths.max()), start + int(lengths.argmax())
    return row


def _indistinct(column: Column, floats: NDArray[np.float64], scratch: Scratch) -> int | None:
    """Last row of the smallest number that is one float with a larger one.

    Raises
    ------
    pyarrow.ArrowInvalid : a number has too many digits.
    """
    if scratch.is_large(len(column) * _DECIMAL.byte_width):
        return _indistinct_by_duckdb(column, floats, scratch)
    exact = pa.chunked_array([part.cast(_DECIMAL) for part in column.chunks]).combine_chunks()
    order = pc.array_sort_indices(exact)
    sorted_floats = floats[order.to_numpy()]
    same = pc.equal(exact.take(order)[1:], exact.take(order)[:-1]).to_numpy(zero_copy_only=False)
    lost = (np.diff(sorted_floats) == 0) & ~same
    return int(order[int(lost.argmax())].as_py()) if lost.any() else None


def _indistinct_by_duckdb(
    column: Column, floats: NDArray[np.float64], scratch: Scratch
) -> int | None:
    """The same, for more rows than are sorted in memory."""
    schema = pa.schema([("exact", _DECIMAL), ("value", pa.float64()), ("row", pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        for start, part in parts(column):
            rows = np.arange(start, start + len(part))
            yield pa.record_batch([part.cast(_DECIMAL), floats[rows], rows], schema=schema)

    for part in column.chunks:  # DuckDB would say in its own way what cannot be cast
        part.cast(_DECIMAL)
    with connected(scratch) as database:
        database.register("numbers", pa.RecordBatchReader.from_batches(schema, batches()))
        smallest = database.sql(
            "SELECT min(exact) FROM (SELECT min(exact) AS exact, max(exact) AS largest "
            "FROM numbers GROUP BY value) WHERE exact < largest"
        ).fetchall()
    exact = smallest[0][0]
    if exact is None:
        return None
    rows = (
        start + np.flatnonzero(pc.equal(part.cast(_DECIMAL), pa.scalar(exact, _DECIMAL)))
        for start, part in parts(column)
    )
    return int(max(found[-1] for found in rows if len(found)))

"""Turning a column of timestamps into moments that can be compared, none of them changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.data.importers.columns import EXACT, require_present
from mmsr.data.importers.readers.rows import Rows
from mmsr.errors import UserError

_KINDS = "use numbers or ISO dates (2014-07-23, 2014-07-23T10:00:00), one kind in all rows"
_ISO = r"^\d{4}[-/.]?\d{1,2}([-/.]?\d{1,2}([T ][\d:.]+ ?(Z|[+-][\d:]+)?)?)?$"
_UTC = r"([T ]\d[\d:.]*) ?UTC$"
"""How BigQuery ends a moment; ISO 8601 says Z."""
_WITH_MONTH = r"^\d{4}[-/.]|[T ]"
"""What tells a date from a number of digits alone."""
_DAY_OR_MONTH = r"^\s*\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
_FINER_THAN_NS = r"\.\d{10,}"
_THOUSANDS = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"
_HEX = r"^\s*[+-]?0[xX]"
"""A whole number to Arrow, and a text to whoever wrote the table."""
_WHOLE = r"^[+-]?\d{1,3}$"
_UNITS = {
    "seconds": (1e8, 1e10),
    "milliseconds": (1e11, 1e13),
    "microseconds": (1e14, 1e16),
    "nanoseconds": (1e17, 1e19),
}
"""Ranges of Unix times from 1973 to 2286; between them lies no time of those years."""
_SHORT = 15
"""Digits that a float always keeps."""
_Refuse = Callable[[int, str, str], UserError]
"""Builds the error for a moment from its row, the moment as it is shown, and what to do."""


@dataclass(frozen=True)
class Times:
    """A column of moments.

    Attributes
    ----------
    values : int64 or float64; `unit` since 1970 where `dated`, else the numbers as given.
    dated : whether the moments were given as dates.
    unit : of dates: `us`, or `ns` where some are finer than microseconds.
    """

    values: NDArray[np.int64 | np.float64]
    dated: bool
    unit: str = "us"

    def show(self, moment: float) -> str:
        """Write `moment`, one of these values, the way a user would."""
        if not self.dated:
            is_whole = isinstance(moment, int) or float(moment).is_integer()
            return str(int(moment)) if is_whole else repr(float(moment))
        kind = f"datetime64[{self.unit}]"
        whole, fraction = str(np.array([int(moment)]).astype(kind)[0]).split(".")
        return f"{whole}.{fraction}".rstrip("0").rstrip(".")

    @property
    def ticks_per_second(self) -> int:
        """How many of the unit a second has."""
        return {"us": 10**6, "ns": 10**9}[self.unit]

    def parse(self, text: str, source: str) -> float:
        """Read a moment that is to be compared with these.

        Parameters
        ----------
        text : a number or an ISO date.
        source : where it was given, for errors.

        Returns
        -------
        The first value that is not earlier than the moment.

        Raises
        ------
        UserError : it is no moment, or not of the same kind as these.
        """
        given = _times_of_text(
            pa.chunked_array([pa.array([text], pa.large_string())]),
            lambda row, shown, remedy: UserError(f"{source} is {text!r}: {remedy}"),
            "use a number or an ISO date (2014-07-23, 2014-07-23T10:00:00)",
        )
        if given.dated != self.dated:
            kind = "dates" if self.dated else "numbers"
            raise UserError(f"{source} is {text!r}, but the timestamps are {kind}: give one too")
        if self.dated:
            return -(-int(given.values[0]) * self.ticks_per_second // given.ticks_per_second)
        return float(given.values[0]) if given.values.dtype.kind == "f" else int(given.values[0])


def as_times(column: pa.ChunkedArray, rows: Rows) -> Times:
    """Turn a column into moments that can be compared.

    Numbers stay as they are; dates (ISO 8601, UTC where no zone is given) become microseconds, or
    nanoseconds where some are that fine. What cannot be kept to the last digit is refused.

    Parameters
    ----------
    column : one moment per row.
    rows : where the rows are from, for errors.

    Raises
    ------
    UserError : a moment is missing, not finite, neither a number nor a date, or can be read in two
        ways; or the moments are too large or too fine, or mix units.
    """
    kind = column.type
    if pa.types.is_null(kind):
        raise rows.error(0, "has no timestamp", "every row needs one")
    require_present(column, "timestamp", rows)

    def refuse(row: int, shown: str, remedy: str) -> UserError:
        return rows.error(row, f"has timestamp {shown}", remedy)

    if pa.types.is_large_string(kind):
        times = _times_of_text(column, refuse, _KINDS)
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        try:
            times = _times_of_dates(column)
        except pa.ArrowInvalid:
            raise UserError(f"{rows.path}: a timestamp is no date of our calendar") from None
    elif pa.types.is_integer(kind):
        try:
            times = Times(_numpy(column.cast(pa.int64())), dated=False)
        except pa.ArrowInvalid:
            raise UserError(
                f"{rows.path}: a timestamp is beyond 64 bits: use smaller numbers"
            ) from None
    elif pa.types.is_floating(kind):
        times = _times_of_floats(column.cast(pa.float64()), refuse, kind.bit_width)
    elif pa.types.is_decimal(kind):
        times = _times_of_decimals(column, refuse)
    else:
        raise UserError(f"{rows.path}: timestamp is {kind}: use numbers or ISO dates")
    if not times.dated:
        _check_one_unit(times.values, refuse)
    return times


def _times_of_text(column: pa.ChunkedArray, refuse: _Refuse, remedy: str) -> Times:
    if (row := pc.index(pc.match_substring_regex(column, _HEX), True).as_py()) >= 0:
        raise refuse(row, repr(column[row].as_py()), "write it in decimal digits")
    try:
        return Times(_numpy(column.cast(pa.int64())), dated=False)
    except pa.ArrowInvalid:
        pass
    try:
        floats = column.cast(pa.float64())
    except pa.ArrowInvalid:
        return _times_of_iso(column, refuse, remedy)
    times = _times_of_floats(floats, refuse)
    has_thousands = pc.match_substring_regex(column, _THOUSANDS)
    if (
        pc.any(has_thousands).as_py()
        and not pc.all(has_thousands).as_py()
        and pc.all(pc.or_(has_thousands, pc.match_substring_regex(column, _WHOLE))).as_py()
    ):
        row = pc.index(has_thousands, True).as_py()
        text = column[row].as_py()
        raise refuse(row, repr(text), f"write {text.replace('.', '')} or {text}0")
    if pc.max(pc.binary_length(column)).as_py() > _SHORT:
        _check_exact(column, floats, refuse)
    return times


def _times_of_iso(column: pa.ChunkedArray, refuse: _Refuse, remedy: str) -> Times:
    """Read dates as text: most by Arrow, the rarer forms of ISO 8601 by pandas."""
    given, column = column, pc.replace_substring_regex(column, _UTC, r"\1Z")
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return Times(_numpy(column.cast(kind).cast(pa.int64())), dated=True)
        except pa.ArrowInvalid:
            continue
    import pandas as pd

    iso = pc.and_(
        pc.match_substring_regex(column, _ISO), pc.match_substring_regex(column, _WITH_MONTH)
    )
    too_fine = pc.index(pc.match_substring_regex(column, _FINER_THAN_NS), True).as_py()
    if too_fine >= 0:
        shown = repr(given[too_fine].as_py())
        raise refuse(too_fine, shown, "give nine digits of a second at most")
    texts = pd.Series(column.to_pylist(), dtype=object)
    moments = pd.to_datetime(
        texts.where(iso.to_numpy(), None), format="ISO8601", utc=True, errors="coerce"
    )
    bad = moments.isna().to_numpy()
    if bad.any():
        no_number = pd.to_numeric(texts, errors="coerce").isna().to_numpy()
        neither = bad & no_number
        row = int((neither if neither.any() else min(bad, no_number, key=np.sum)).argmax())
        text = given[row].as_py()
        if pc.match_substring_regex(pa.scalar(text), _DAY_OR_MONTH).as_py():
            remedy = "day and month cannot be told apart: write ISO dates (2014-07-23)"
        raise refuse(row, repr(text), remedy)
    return _times_of_dates(pa.chunked_array([pa.Array.from_pandas(moments.dt.tz_convert(None))]))


def _times_of_dates(column: pa.ChunkedArray) -> Times:
    """Microseconds since 1970, or nanoseconds where some moments are that fine.

    Raises
    ------
    pyarrow.ArrowInvalid : a moment is beyond 64 bits.
    """
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        values = _numpy(column.cast(pa.timestamp("ns")).cast(pa.int64()))
        if (values % 1000).any():
            return Times(values, dated=True, unit="ns")
        return Times(values // 1000, dated=True)
    return Times(_numpy(column.cast(pa.timestamp("us")).cast(pa.int64())), dated=True)


def _times_of_floats(column: pa.ChunkedArray, refuse: _Refuse, bits: int = 64) -> Times:
    values = _numpy(column)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        raise refuse(row, str(values[row]), "use finite numbers")
    bad = np.abs(values) >= EXACT[bits]
    if bad.any():
        row = int(bad.argmax())
        raise refuse(
            row,
            f"{values[row]:.0f} as a float",
            f"floats tell whole numbers apart only below {EXACT[bits]:,}: write integers",
        )
    return Times(values, dated=False)


def _times_of_decimals(column: pa.ChunkedArray, refuse: _Refuse) -> Times:
    try:
        return Times(_numpy(column.cast(pa.int64())), dated=False)
    except pa.ArrowInvalid:  # they have fractions, or are too large
        floats = column.cast(pa.float64())
    times = _times_of_floats(floats, refuse)
    _check_exact(column, floats, refuse)
    return times


def _check_exact(column: pa.ChunkedArray, floats: pa.ChunkedArray, refuse: _Refuse) -> None:
    """Check that numbers that differ, texts or decimals, differ as floats too."""
    remedy = "floats keep 15 digits: give fewer digits, or whole numbers of a smaller unit"
    try:
        exact = column.cast(pa.decimal128(38, 18)).combine_chunks()
    except pa.ArrowInvalid:
        lengths = pc.binary_length(column.cast(pa.large_string()))
        row = pc.index(lengths, pc.max(lengths)).as_py()
        raise refuse(row, str(column[row].as_py()), remedy) from None
    order = pc.array_sort_indices(exact)
    sorted_floats = _numpy(floats.combine_chunks().take(order))
    same = pc.equal(exact.take(order)[1:], exact.take(order)[:-1]).to_numpy(zero_copy_only=False)
    lost = (np.diff(sorted_floats) == 0) & ~same
    if lost.any():
        row = int(order[int(lost.argmax())].as_py())
        raise refuse(row, str(column[row].as_py()), remedy)


def _check_one_unit(values: NDArray[np.int64 | np.float64], refuse: _Refuse) -> None:
    """Refuse Unix times that are seconds in some rows and, say, milliseconds in others.

    Times that run on without a gap between the ranges are of one unit that starts elsewhere.
    """
    first = _UNITS["seconds"][0]
    if values.max(initial=0) < _UNITS["milliseconds"][0]:
        return
    members = {
        unit: found
        for unit, (low, high) in _UNITS.items()
        if (found := (values >= low) & (values < high)).any()
    }
    if len(members) < 2:
        return
    if ((values >= first) & ~np.logical_or.reduce(list(members.values()))).any():
        return
    rare, usual = sorted(members, key=lambda unit: int(members[unit].sum()))[:: len(members) - 1]
    row, other = int(members[rare].argmax()), int(members[usual].argmax())
    raise refuse(
        row,
        f"{values[row]:.0f}",
        f"it looks like {rare}, but others, e.g. {values[other]:.0f}, like {usual}: use one unit",
    )


def _numpy(column: pa.ChunkedArray | pa.Array) -> NDArray[np.int64 | np.float64]:
    return np.asarray(column.to_numpy())

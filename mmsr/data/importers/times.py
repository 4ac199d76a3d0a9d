"""Turning a column of timestamps into moments that can be compared, none of them changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.data.importers.bounded.parts import (
    Column,
    first_place,
    first_row,
    parts,
    spans,
    value_at,
)
from mmsr.data.importers.bounded.scratch import MEMORY, Scratch
from mmsr.data.importers.columns import EXACT, require_present
from mmsr.data.importers.moments import Refuse, check_exact, ticks_of_dates, ticks_of_texts
from mmsr.data.importers.readers.rows import Rows
from mmsr.errors import UserError

_KINDS = "use numbers or ISO dates (2014-07-23, 2014-07-23T10:00:00), one kind in all rows"
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


def as_times(column: Column, rows: Rows, scratch: Scratch = MEMORY) -> Times:
    """Turn a column into moments that can be compared.

    Numbers stay as they are; dates (ISO 8601, UTC where no zone is given) become microseconds, or
    nanoseconds where some are that fine. What cannot be kept to the last digit is refused.

    Parameters
    ----------
    column : one moment per row.
    rows : where the rows are from, for errors.
    scratch : space for the moments.

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
        times = _times_of_text(column, refuse, _KINDS, scratch)
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        try:
            times = Times(*ticks_of_dates(column, scratch))
        except pa.ArrowInvalid:
            raise UserError(f"{rows.path}: a timestamp is no date of our calendar") from None
    elif pa.types.is_integer(kind):
        try:
            times = Times(scratch.filled(column, _whole, np.int64), dated=False)
        except pa.ArrowInvalid:
            raise UserError(
                f"{rows.path}: a timestamp is beyond 64 bits: use smaller numbers"
            ) from None
    elif pa.types.is_floating(kind):
        times = _times_of_floats(scratch.filled(column, _float, np.float64), refuse, kind.bit_width)
    elif pa.types.is_decimal(kind):
        times = _times_of_decimals(column, refuse, scratch)
    else:
        raise UserError(f"{rows.path}: timestamp is {kind}: use numbers or ISO dates")
    if not times.dated:
        _check_one_unit(times.values, refuse)
    return times


def _whole(part: pa.Array) -> pa.Array:
    return part.cast(pa.int64())


def _float(part: pa.Array) -> pa.Array:
    return part.cast(pa.float64())


def _times_of_text(column: Column, refuse: Refuse, remedy: str, scratch: Scratch = MEMORY) -> Times:
    if (row := first_row(column, lambda part: pc.match_substring_regex(part, _HEX))) >= 0:
        raise refuse(row, repr(value_at(column, row)), "write it in decimal digits")
    try:
        return Times(scratch.filled(column, _whole, np.int64), dated=False)
    except pa.ArrowInvalid:
        pass
    try:
        floats = scratch.filled(column, _float, np.float64)
    except pa.ArrowInvalid:
        return Times(*ticks_of_texts(column, refuse, remedy, scratch))
    times = _times_of_floats(floats, refuse)
    if (doubtful := _read_in_two_ways(column)) is not None:
        text = value_at(column, doubtful)
        raise refuse(doubtful, repr(text), f"write {text.replace('.', '')} or {text}0")
    if first_row(column, lambda part: pc.greater(pc.binary_length(part), _SHORT)) >= 0:
        check_exact(column, floats, refuse, scratch)
    return times


def _read_in_two_ways(column: Column) -> int | None:
    """The first number that has thousands or a fraction, if none in the column shows which."""
    first, n_thousands = None, 0
    for start, part in parts(column):
        has_thousands = pc.match_substring_regex(part, _THOUSANDS)
        if not pc.all(pc.or_(has_thousands, pc.match_substring_regex(part, _WHOLE))).as_py():
            return None
        if first is None and (row := pc.index(has_thousands, True).as_py()) >= 0:
            first = start + row
        n_thousands += pc.sum(has_thousands).as_py()
    return None if n_thousands == len(column) else first


def _times_of_floats(values: NDArray[np.float64], refuse: Refuse, bits: int = 64) -> Times:
    if (row := first_place(values, lambda some: ~np.isfinite(some))) is not None:
        raise refuse(row, str(values[row]), "use finite numbers")
    if (row := first_place(values, lambda some: np.abs(some) >= EXACT[bits])) is not None:
        raise refuse(
            row,
            f"{values[row]:.0f} as a float",
            f"floats tell whole numbers apart only below {EXACT[bits]:,}: write integers",
        )
    return Times(values, dated=False)


def _times_of_decimals(column: Column, refuse: Refuse, scratch: Scratch) -> Times:
    try:
        return Times(scratch.filled(column, _whole, np.int64), dated=False)
    except pa.ArrowInvalid:  # they have fractions, or are too large
        floats = scratch.filled(column, _float, np.float64)
    times = _times_of_floats(floats, refuse)
    check_exact(column, floats, refuse, scratch)
    return times


def _check_one_unit(values: NDArray[np.int64 | np.float64], refuse: Refuse) -> None:
    """Refuse Unix times that are seconds in some rows and, say, milliseconds in others.

    Times that run on without a gap between the ranges are of one unit that starts elsewhere.
    """
    counts = dict.fromkeys(_UNITS, 0)
    first: dict[str, int] = {}
    for span in spans(len(values)):
        some = values[span]
        n_left = int((some >= _UNITS["seconds"][0]).sum())
        for unit, (low, high) in _UNITS.items():
            found = (some >= low) & (some < high)
            if count := int(found.sum()):
                first.setdefault(unit, span.start + int(found.argmax()))
                counts[unit] += count
                n_left -= count
        if n_left:  # between two ranges
            return
    if len(first) < 2:
        return
    members = [unit for unit in _UNITS if unit in first]
    rare, usual = sorted(members, key=counts.__getitem__)[:: len(members) - 1]
    row, other = first[rare], first[usual]
    raise refuse(
        row,
        f"{values[row]:.0f}",
        f"it looks like {rare}, but others, e.g. {values[other]:.0f}, like {usual}: use one unit",
    )

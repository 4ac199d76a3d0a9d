"""Turning users' columns into ids, moments and texts, or saying why they cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.data.importers.rows import Rows
from mmsr.errors import UserError

_MOMENTS = "use numbers or ISO dates (2014-07-23, 2014-07-23T10:00:00), one kind in all rows"
_Refuse = Callable[[int, str, str], UserError]
"""Builds the error for a moment from its row, the moment as it is shown, and what to do."""


@dataclass(frozen=True)
class Ids:
    """A column of ids: `values` are the distinct ones in ascending order, `codes` their indices."""

    codes: NDArray[np.int64]
    values: pa.Array


def as_ids(column: pa.ChunkedArray, name: str, rows: Rows) -> Ids:
    """Encode text or whole numbers as ids; 7 and "7" are the same id.

    Parameters
    ----------
    column : one id per row.
    name : name of the column, for errors.
    rows : where the rows are from, for errors.

    Raises
    ------
    UserError : an id is missing, or the column holds neither text nor whole numbers.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind):
        _require_present(column, name, rows)
        column = _whole(column, name, rows)
        kind = column.type
    if pa.types.is_integer(kind):
        column = column.cast(pa.large_string())
    elif pa.types.is_null(kind):
        raise rows.error(0, f"has no {name}", "every row needs one")
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UserError(f"{rows.path}: {name} is {kind}: ids must be text or whole numbers")
    _require_present(column, name, rows)
    column = column.cast(pa.large_string()).unify_dictionaries().combine_chunks()
    encoded = column.dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Ids(rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order)))


@dataclass(frozen=True)
class Times:
    """A column of moments.

    Attributes
    ----------
    values : int64 or float64; microseconds since 1970 where `dated`, else the numbers as given.
    dated : whether the moments were given as dates.
    """

    values: NDArray[np.int64 | np.float64]
    dated: bool

    def show(self, moment: float) -> str:
        """Write `moment`, one of these values, the way a user would."""
        if not self.dated:
            return f"{moment:g}" if isinstance(moment, float) else str(moment)
        return str(np.datetime64(int(moment), "us").astype("datetime64[s]"))

    def parse(self, text: str, source: str) -> float:
        """Read a moment that is to be compared with these.

        Parameters
        ----------
        text : a number or an ISO date.
        source : where it was given, for errors.

        Raises
        ------
        UserError : it is no moment, or not of the same kind as these.
        """
        given = _times_of_text(
            pa.chunked_array([[text]]),
            lambda row, shown, remedy: UserError(f"{source} is {text!r}: {remedy}"),
            "use a number or an ISO date (2014-07-23, 2014-07-23T10:00:00)",
        )
        if given.dated != self.dated:
            kind = "dates" if self.dated else "numbers"
            raise UserError(f"{source} is {text!r}, but the timestamps are {kind}: give one too")
        return float(given.values[0]) if given.values.dtype.kind == "f" else int(given.values[0])


def as_times(column: pa.ChunkedArray, rows: Rows) -> Times:
    """Turn a column into moments that can be compared.

    Numbers stay as they are; dates (ISO 8601, UTC where no zone is given) become microseconds.

    Parameters
    ----------
    column : one moment per row.
    rows : where the rows are from, for errors.

    Raises
    ------
    UserError : a moment is missing, not finite, or neither a number nor a date.
    """
    kind = column.type
    if pa.types.is_null(kind):
        raise rows.error(0, "has no timestamp", "every row needs one")
    _require_present(column, "timestamp", rows)

    def refuse(row: int, shown: str, remedy: str) -> UserError:
        return rows.error(row, f"has timestamp {shown}", remedy)

    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _times_of_text(column, refuse, _MOMENTS)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Times(
            _numpy(column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())), dated=True
        )
    if pa.types.is_integer(kind):
        try:
            return Times(_numpy(column.cast(pa.int64())), dated=False)
        except pa.ArrowInvalid:
            raise UserError(
                f"{rows.path}: a timestamp is beyond 64 bits: use smaller numbers"
            ) from None
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _finite(_numpy(column.cast(pa.float64())), refuse)
    raise UserError(f"{rows.path}: timestamp is {kind}: use numbers or ISO dates")


def as_texts(column: pa.ChunkedArray, name: str, source: str) -> pa.Array:
    """Turn a column into texts, null where there is none.

    Lists are joined with ' > ', numbers are written out.

    Parameters
    ----------
    column : one text, list or number per row.
    name, source : names of the column and of its file, for errors.

    Raises
    ------
    UserError : the column holds something that cannot be written as text.
    """
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        column = pa.chunked_array([pa.array(map(_joined, column.to_pylist()), pa.large_string())])
    try:
        texts = pc.utf8_trim_whitespace(column.cast(pa.large_string())).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise UserError(f"{source}: {name} is {kind}: use text or a list of texts") from None
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.large_string()), texts)


def _joined(value: object) -> str | None:
    """Write out a list, which may hold lists; null where it holds no text."""
    if not isinstance(value, list):
        return None if value is None else str(value)
    return " > ".join(text for text in map(_joined, value) if text) or None


def _whole(column: pa.ChunkedArray, name: str, rows: Rows) -> pa.ChunkedArray:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        raise UserError(
            f"{rows.path}: {name} is {column.type}: ids must be text or whole numbers"
        ) from None


def _require_present(column: pa.ChunkedArray, name: str, rows: Rows) -> None:
    missing = pc.is_null(column, nan_is_null=True)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(column, ""), True))
    row = pc.index(missing, True).as_py()
    if row >= 0:
        raise rows.error(row, f"has no {name}", "every row needs one")


def _times_of_text(column: pa.ChunkedArray, refuse: _Refuse, remedy: str) -> Times:
    for kind in (pa.int64(), pa.float64()):
        try:
            times = _numpy(column.cast(kind))
        except pa.ArrowInvalid:
            continue
        return _finite(times, refuse)
    import pandas as pd

    texts = pd.Series(column.to_pylist(), dtype=object)
    moments = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    bad = moments.isna().to_numpy()
    if bad.any():
        no_number = pd.to_numeric(texts, errors="coerce").isna().to_numpy()
        neither = bad & no_number
        row = int((neither if neither.any() else min(bad, no_number, key=np.sum)).argmax())
        raise refuse(row, repr(texts[row]), remedy)
    values = moments.dt.as_unit("us").to_numpy(dtype="datetime64[us]").astype(np.int64)
    return Times(values, dated=True)


def _finite(times: NDArray[np.int64 | np.float64], refuse: _Refuse) -> Times:
    bad = ~np.isfinite(times)
    if bad.any():
        row = int(bad.argmax())
        raise refuse(row, str(times[row]), "use finite numbers")
    return Times(times, dated=False)


def _numpy(column: pa.ChunkedArray) -> NDArray[np.int64 | np.float64]:
    return np.asarray(column.to_numpy())

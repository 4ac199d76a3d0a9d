"""Turning users' columns into ids and texts, or saying why they cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.data.importers.readers.rows import Rows
from mmsr.errors import UserError

EXACT = {16: 1 << 11, 32: 1 << 24, 64: 1 << 53}
"""Below this, a float of so many bits stands for one whole number only."""
_SHORTENED = r"^-?\d\.\d+[eE]\+\d{2,}$"
"""How spreadsheets and floats write numbers that are too long for them."""


@dataclass(frozen=True)
class Ids:
    """A column of ids: `values` are the distinct ones in ascending order, `codes` their indices."""

    codes: NDArray[np.int64]
    values: pa.Array


def as_ids(column: pa.ChunkedArray, name: str, rows: Rows) -> Ids:
    """Encode text or whole numbers as ids; 7 and "7" are the same id.

    No two ids become one: floats are refused where they cannot tell whole numbers apart.

    Parameters
    ----------
    column : one id per row.
    name : name of the column, for errors.
    rows : where the rows are from, for errors.

    Raises
    ------
    UserError : an id is missing, has control characters or has lost digits, or the column holds
        neither text nor whole numbers.
    """
    kind = column.type
    if pa.types.is_null(kind):
        raise rows.error(0, f"has no {name}", "every row needs one")
    require_present(column, name, rows)
    if pa.types.is_floating(kind):
        column = _whole(column, name, rows)
        kind = column.type
    is_whole = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)
    if not (is_whole or pa.types.is_large_string(kind)):
        raise UserError(f"{rows.path}: {name} is {kind}: ids must be text or whole numbers")
    encoded = column.cast(pa.large_string()).combine_chunks().dictionary_encode()
    _check_texts(encoded.dictionary, name, rows)
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Ids(rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order)))


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
    if pa.types.is_large_list(kind):
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


def require_present(column: pa.ChunkedArray, name: str, rows: Rows) -> None:
    """Check that a column has a value in every row.

    Parameters
    ----------
    column : values; NaN and empty text stand for none.
    name : name of the column, for errors.
    rows : where the rows are from, for errors.

    Raises
    ------
    UserError : a value is missing.
    """
    missing = pc.is_null(column, nan_is_null=True)
    if pa.types.is_large_string(column.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(column, ""), True))
    row = pc.index(missing, True).as_py()
    if row >= 0:
        raise rows.error(row, f"has no {name}", "every row needs one")


def _whole(column: pa.ChunkedArray, name: str, rows: Rows) -> pa.ChunkedArray:
    """Floats as integers, where a float cannot stand for several of them."""
    limit = EXACT[column.type.bit_width]
    try:
        whole = column.cast(pa.int64())
    except pa.ArrowInvalid:
        whole = None
    else:
        large = pc.or_(pc.greater_equal(whole, limit), pc.less_equal(whole, -limit))
        if (row := pc.index(large, True).as_py()) < 0:
            return whole
    values = column.cast(pa.float64()).to_numpy()
    if whole is None and not np.abs(values).max() >= limit:
        raise UserError(f"{rows.path}: {name} is {column.type}: ids must be text or whole numbers")
    row = int((np.abs(values) >= limit).argmax())
    raise rows.error(
        row,
        f"has {name} {values[row]:.0f} as {column.type}",
        f"floats tell ids apart only below {limit:,}: write ids as text or as integers",
    )


def _check_texts(values: pa.Array, name: str, rows: Rows) -> None:
    """Refuse ids that no other table can be expected to write alike."""
    for pattern, problem, remedy in (
        (r"^\s*$", "is blank", "every row needs an id"),
        (r"[\x00-\x1f\x7f]", "has a line break, tab or control character in it", "remove it"),
        (_SHORTENED, "looks like a number whose last digits are gone", "write all its digits"),
    ):
        place = pc.index(pc.match_substring_regex(values, pattern), True).as_py()
        if place >= 0:
            raise UserError(
                f"{rows.path}: the {name} {values[place].as_py()[:40]!r} {problem}: {remedy}"
            )

"""Turning users' columns into ids and texts, or saying why they cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.data.importers.bounded.parts import Column, first_row, parts
from mmsr.data.importers.readers.rows import Rows
from mmsr.errors import UserError

EXACT = {16: 1 << 11, 32: 1 << 24, 64: 1 << 53}
"""Below this, a float of so many bits stands for one whole number only."""
_SHORTENED = r"^-?\d\.\d+[eE]\+\d{2,}$"
"""How spreadsheets and floats write numbers that are too long for them."""
_PROBLEMS = (
    (r"^\s*$", "is blank", "every row needs an id"),
    (r"[\x00-\x1f\x7f]", "has a line break, tab or control character in it", "remove it"),
    (_SHORTENED, "looks like a number whose last digits are gone", "write all its digits"),
)
"""Patterns of ids that are refused, what is wrong with them and what to do; the gravest first."""


@dataclass(frozen=True)
class Ids:
    """A column of ids: `values` are the distinct ones in ascending order, `codes` their indices."""

    codes: NDArray[np.int64]
    values: pa.Array


def as_ids(column: Column, name: str, rows: Rows) -> Ids:
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
    write = text_of_ids(column, name, rows)
    texts = pa.chunked_array([write(part) for part in column.chunks], pa.large_string())
    encoded = texts.combine_chunks().dictionary_encode()
    check_ids([(encoded.dictionary, np.arange(len(encoded.dictionary)))], name, rows)
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Ids(rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order)))


def text_of_ids(column: Column, name: str, rows: Rows) -> Callable[[pa.Array], pa.Array]:
    """Check that a column can hold ids; what its texts say is left to `check_ids`.

    Parameters
    ----------
    column, name, rows : as for `as_ids`.

    Returns
    -------
    Function that writes a part of the column as text.

    Raises
    ------
    UserError : as `as_ids`.
    """
    kind = column.type
    if pa.types.is_null(kind):
        raise rows.error(0, f"has no {name}", "every row needs one")
    require_present(column, name, rows)
    if pa.types.is_floating(kind):
        _check_whole(column, name, rows)
        return lambda part: part.cast(pa.float64()).cast(pa.int64()).cast(pa.large_string())
    is_whole = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)
    if not (is_whole or pa.types.is_large_string(kind)):
        raise UserError(f"{rows.path}: {name} is {kind}: ids must be text or whole numbers")
    return lambda part: part.cast(pa.large_string())


def check_ids(found: Iterable[tuple[pa.Array, NDArray[np.int64]]], name: str, rows: Rows) -> None:
    """Refuse ids that no other table can be expected to write alike.

    Parameters
    ----------
    found : ids, each once, and the row where each is first met.
    name, rows : as for `as_ids`.

    Raises
    ------
    UserError : there is such an id; of the gravest kind, the first is named.
    """
    bad: list[tuple[int, int, str]] = []
    for values, first in found:
        for rank, (pattern, _, _) in enumerate(_PROBLEMS):
            matched = pc.match_substring_regex(values, pattern).to_numpy(zero_copy_only=False)
            if matched.any():
                place = int(np.where(matched, first, np.iinfo(np.int64).max).argmin())
                bad.append((rank, int(first[place]), values[place].as_py()))
    if bad:
        rank, _, text = min(bad)
        _, problem, remedy = _PROBLEMS[rank]
        raise UserError(f"{rows.path}: the {name} {text[:40]!r} {problem}: {remedy}")


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


def require_present(column: Column, name: str, rows: Rows) -> None:
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
    row = first_row(column, _missing)
    if row >= 0:
        raise rows.error(row, f"has no {name}", "every row needs one")


def _missing(part: pa.Array) -> pa.Array:
    missing = pc.is_null(part, nan_is_null=True)
    if pa.types.is_large_string(part.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(part, ""), True))
    return missing


def _check_whole(column: Column, name: str, rows: Rows) -> None:
    """Check that floats are whole, and that none can stand for several whole numbers."""
    limit = EXACT[column.type.bit_width]
    whole = True
    for start, part in parts(column):
        values = part.cast(pa.float64()).to_numpy(zero_copy_only=False)
        large = np.abs(values) >= limit
        if large.any():
            row = int(large.argmax())
            raise rows.error(
                start + row,
                f"has {name} {values[row]:.0f} as {column.type}",
                f"floats tell ids apart only below {limit:,}: write ids as text or as integers",
            )
        whole = whole and bool((values == np.floor(values)).all())
    if not whole:
        raise UserError(f"{rows.path}: {name} is {column.type}: ids must be text or whole numbers")

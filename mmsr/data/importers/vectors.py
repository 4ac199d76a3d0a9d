"""Vectors in a column of lists or texts: numbers of one width, read in one way only."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.errors import UserError

_LARGEST = 1e12
"""Largest number in a vector: clustering squares and adds numbers, which may overflow float32."""
_NUMBERS_BY_BLANKS = r"^\[?\s*[^\s,\[\]]+(\s+[^\s,\[\]]+)*\s*\]?$"
_NUMBERS_BY_COMMAS = (
    r"^\[?\s*[^\s,\[\]]+((,[^\s,\[\]]+)*|(\s*,\s+[^\s,\[\]]+)*|(\s+,[^\s,\[\]]+)*)\s*\]?$"
)
_WHOLE = r"^(\[.*\]|[^\[\]]*)$"
_BARE_COMMAS = r"^[^\[\s]*,[^\s]*$"
_DOT_AFTER_COMMA = r",[^,\s]*\."
_LEADING_ZERO = r"(^|[\s,\[])[+-]?0\d"


def as_matrix(
    column: pa.ChunkedArray, item_of_row: pa.Array, modality: str, source: str
) -> NDArray[np.float32]:
    """Vectors as float32 `[n_rows, width]`.

    Parameters
    ----------
    column : a list of numbers per row, or a text: a JSON list, or numbers separated by blanks, or
        by commas where it is plain that those are no decimal commas.
    item_of_row : id of each row's item, for errors.
    modality, source : the modality and the file's name, for errors.

    Raises
    ------
    UserError : the numbers are not finite, too large, not of one width, or can be read in two ways.
    """
    lists = _lists(column, item_of_row, modality, source)
    widths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    width = int(np.bincount(widths).argmax())
    wrong = np.flatnonzero(widths != width) if width else np.flatnonzero(widths == 0)
    if len(wrong):
        row = int(wrong[0])
        raise UserError(
            f"{source}: the {modality} vector of item {item_of_row[row].as_py()!r} has "
            f"{widths[row]} numbers, expected {width or 'one or more'}: give all the same number"
        )
    values = lists.flatten()
    try:
        numbers = pc.fill_null(values.cast(pa.float32()), np.nan).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{source}: {modality} vectors must be lists of numbers ({reason})"
        ) from None
    vectors: NDArray[np.float32] = numbers.reshape(-1, width)
    fits = np.abs(vectors) <= _LARGEST  # False for NaN and infinity
    if not fits.all():
        row, place = np.argwhere(~fits)[0]
        raise UserError(
            f"{source}: the {modality} vector of item {item_of_row[row].as_py()!r} has "
            f"{vectors[row, place]:g} at position {place}: all numbers must be finite and at most "
            f"{_LARGEST:g} in size"
        )
    return vectors


def _lists(column: pa.ChunkedArray, item_of_row: pa.Array, modality: str, source: str) -> pa.Array:
    kind = column.type
    if pa.types.is_large_string(kind):
        texts = pc.utf8_trim_whitespace(column).combine_chunks()
        _check_separators(texts, item_of_row, modality, source)
        return pc.ascii_split_whitespace(
            pc.utf8_trim_whitespace(pc.replace_substring_regex(texts, r"[\[\],]", " "))
        )
    if not pa.types.is_large_list(kind):
        raise UserError(f"{source}: {modality} vectors are {kind}: give lists of numbers")
    return column.combine_chunks()


def _check_separators(texts: pa.Array, item_of_row: pa.Array, modality: str, source: str) -> None:
    """Refuse texts whose commas may separate numbers, or their fractions, or thousands.

    A dot in a number behind a comma, anywhere in the column, shows that it separates numbers.
    """
    by_commas = pc.match_substring_regex(texts, _NUMBERS_BY_COMMAS)
    by_blanks = pc.match_substring_regex(texts, _NUMBERS_BY_BLANKS)
    plain = pc.and_(pc.or_(by_blanks, by_commas), pc.match_substring_regex(texts, _WHOLE))
    two_ways = pc.invert(plain)
    if not pc.any(pc.match_substring_regex(texts, _DOT_AFTER_COMMA)).as_py():
        two_ways = pc.or_(two_ways, pc.match_substring_regex(texts, _BARE_COMMAS))
    padded = pc.and_(pc.match_substring(texts, ","), pc.match_substring_regex(texts, _LEADING_ZERO))
    row = pc.index(pc.or_(two_ways, padded), True).as_py()
    if row >= 0:
        shown = texts[row].as_py()
        shown = f"{shown[:40]} …" if len(shown) > 40 else shown
        raise UserError(
            f"{source}: the {modality} vector {shown!r} of item {item_of_row[row].as_py()!r} can "
            "be read in two ways: write a JSON list such as [0.27, -0.46], or numbers with decimal "
            "points between blanks"
        )

"""Vectors in a column of lists or texts: numbers of one width, read in one way only."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.errors import UserError

LARGEST = 1e12
"""Largest number in a vector: clustering squares and adds numbers, which may overflow float32."""
_DECIMALS = r"^[+-]?[\d.]+,\d+(,[+-]?[\d.]+,\d+)*$"
"""Numbers with decimal commas, or numbers separated by commas."""
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+$"
_BITS = r"^[01](,[01]){2,}$"
_SPACED_DECIMALS = r"^\[+[+-]?\d+(,\d+)?(,\s+[+-]?\d+(,\d+)?)*\]+$"
_LEADING_ZERO = r"[,\[][+-]?0\d"


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
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:  # no numbers; no cast
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{source}: {modality} vectors must be lists of numbers ({reason})"
        ) from None
    vectors: NDArray[np.float32] = numbers.reshape(-1, width)
    fits = np.abs(vectors) <= LARGEST  # False for NaN and infinity
    if not fits.all():
        row, place = np.argwhere(~fits)[0]
        raise UserError(
            f"{source}: the {modality} vector of item {item_of_row[row].as_py()!r} has "
            f"{vectors[row, place]:g} at position {place}: all numbers must be finite and at most "
            f"{LARGEST:g} in size"
        )
    return vectors


def _lists(column: pa.ChunkedArray, item_of_row: pa.Array, modality: str, source: str) -> pa.Array:
    kind = column.type
    if pa.types.is_large_string(kind):
        texts = pc.utf8_trim_whitespace(column).combine_chunks()
        inner = pc.replace_substring(pc.utf8_trim(texts, "[] \t\r\n"), ",", " ")
        lists = pc.ascii_split_whitespace(pc.utf8_trim_whitespace(inner))
        bad = _read_in_two_ways(texts, pc.list_value_length(lists))
        if bad.any():
            row = int(bad.argmax())
            shown = texts[row].as_py()
            shown = f"{shown[:40]} …" if len(shown) > 40 else shown
            raise UserError(
                f"{source}: the {modality} vector {shown!r} of item {item_of_row[row].as_py()!r} "
                "can be read in two ways: write a JSON list such as [0.27, -0.46], or numbers with "
                "decimal points between blanks"
            )
        return lists
    if not pa.types.is_large_list(kind):
        raise UserError(f"{source}: {modality} vectors are {kind}: give lists of numbers")
    return column.combine_chunks()


def _read_in_two_ways(texts: pa.Array, widths: pa.Array) -> NDArray[np.bool_]:
    """Texts that are no list, or whose commas may separate numbers, fractions or thousands.

    Without brackets, one text that cannot hold decimal commas shows that commas separate numbers in
    the whole column, and so do several zeros and ones.

    Parameters
    ----------
    texts : vectors as text.
    widths : how many numbers each has if blanks, commas and brackets separate them.
    """

    def count(part: str) -> NDArray[np.int64]:
        return np.asarray(pc.count_substring(texts, part).to_numpy(zero_copy_only=False))

    def has(pattern: str, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of some texts match."""
        matched = np.zeros(len(texts), dtype=bool)
        matched[among] = pc.match_substring_regex(texts.filter(pa.array(among)), pattern).to_numpy(
            zero_copy_only=False
        )
        return matched

    begins, begins_twice = (np.asarray(pc.starts_with(texts, mark)) for mark in ("[", "[["))
    ends, ends_twice = (np.asarray(pc.ends_with(texts, mark)) for mark in ("]", "]]"))
    bad: NDArray[np.bool_] = (begins != ends) | (begins_twice != ends_twice)
    commas = count(",")
    if not commas.any():
        return bad
    spaces = (", ", ",\t", ",\n", ",\r")
    spaced = np.sum([count(space) for space in spaces], axis=0)
    numbers = widths.to_numpy(zero_copy_only=False)
    bad |= (commas > 0) & (commas != numbers - 1)
    mixed = (spaced > 0) & (spaced != commas)
    bad |= mixed & ~begins | has(_SPACED_DECIMALS, mixed & begins)
    tight = (commas > 0) & (spaced == 0)
    bad |= has(_LEADING_ZERO, tight)
    bare = tight & ~begins
    doubtful = has(_DECIMALS, bare) | has(_THOUSANDS, bare)
    if (doubtful == bare).all():
        bad |= bare & ~has(_BITS, bare)
    return bad

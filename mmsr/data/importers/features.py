"""Feature vectors from tables: one row per item, all of one width, finite, not all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.data.dataset import FeatureTable
from mmsr.data.importers.columns import as_ids
from mmsr.data.importers.overlap import check_overlap
from mmsr.data.importers.rows import Rows
from mmsr.data.importers.tables import read_table
from mmsr.errors import UserError

_LARGEST = 1e12
"""Largest number in a vector: clustering squares and adds numbers, which may overflow float32."""


def read_features(
    path: Path,
    modality: str,
    known_items: pa.Array,
    columns: Mapping[str, str],
    note: Callable[[str], None] = lambda _: None,
) -> tuple[FeatureTable, int]:
    """Read and check the vectors of one modality.

    A row without a vector stands for an item that lacks the modality. Vectors of items that the
    data set does not have are checked like all others, and then left out. An item may be listed
    twice only with the same vector.

    Parameters
    ----------
    path : table of item_id and vector: a list per row, or text that holds a JSON list or numbers
        separated by spaces.
    modality : name of the modality.
    known_items : ids of the data set's items, by item index.
    columns : column names in the file by mmsr's names.
    note : called with what is no error, but should be known.

    Returns
    -------
    table : the vectors of known items.
    unused : number of vectors that were left out.

    Raises
    ------
    UserError : the table cannot be read, or a vector is unusable; the message names the item.
    """
    source = str(path)
    table = read_table(path, ("item_id", "vector"), columns=columns)
    present = pc.is_valid(_without_blanks(table.column("vector")))
    rows = Rows(path, np.flatnonzero(present.to_numpy()))
    table = table.filter(present)
    if table.num_rows == 0:
        raise UserError(f"{source} has no {modality} vectors: give at least one, or leave it out")
    ids = as_ids(table.column("item_id"), "item_id", rows)
    vectors = _matrix(
        table.column("vector"), ids.values.take(pa.array(ids.codes)), modality, source
    )
    first = _first_rows(ids.codes, vectors, ids.values, modality, source)
    items = pc.index_in(ids.values, known_items.cast(ids.values.type))
    items = pc.fill_null(items, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    used = np.flatnonzero(items >= 0)
    check_overlap(ids.values, known_items, source, note)
    order = used[np.argsort(items[used])]
    chosen = vectors[first[order]]
    check_varied(chosen, modality, source)
    return FeatureTable(items[order], chosen), len(items) - len(used)


def check_varied(vectors: NDArray[np.float32], modality: str, source: str) -> None:
    """Check that there are two or more vectors that differ.

    Parameters
    ----------
    vectors : `[n, width]`.
    modality, source : the modality and the file's name, for errors.

    Raises
    ------
    UserError : there is one vector, or all are the same.
    """
    if len(vectors) == 1:
        raise UserError(f"{source}: only one item has a vector of {modality}: give more, or none")
    if (vectors == vectors[0]).all():
        raise UserError(
            f"{source}: all {len(vectors)} {modality} vectors are equal, so they are of no use: "
            "fix the table or leave it out"
        )


def _without_blanks(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text vectors with null for empty cells."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    blank = pc.equal(pc.utf8_trim_whitespace(column), "")
    return pc.if_else(blank, pa.scalar(None, column.type), column)


def _matrix(
    column: pa.ChunkedArray, item_of_row: pa.Array, modality: str, source: str
) -> NDArray[np.float32]:
    """Vectors as float32 [n_rows, width], checked to be finite and of one width."""
    lists = _lists(column, modality, source)
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


def _lists(column: pa.ChunkedArray, modality: str, source: str) -> pa.Array:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        plain = pc.replace_substring_regex(column, r"[\[\],]", " ")
        column = pc.ascii_split_whitespace(pc.utf8_trim_whitespace(plain))
    elif not (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    ):
        raise UserError(f"{source}: {modality} vectors are {kind}: give lists of numbers")
    return column.combine_chunks()


def _first_rows(
    codes: NDArray[np.int64],
    vectors: NDArray[np.float32],
    ids: pa.Array,
    modality: str,
    source: str,
) -> NDArray[np.int64]:
    """First row of each item, int64 [n_items]; all its rows must agree."""
    first = np.full(len(ids), len(codes), dtype=np.int64)
    np.minimum.at(first, codes, np.arange(len(codes)))
    if len(first) < len(codes):
        differs = (vectors != vectors[first[codes]]).any(axis=1)
        if differs.any():
            item = ids[int(codes[differs.argmax()])].as_py()
            raise UserError(
                f"{source}: item {item!r} has two different {modality} vectors: keep one"
            )
    return first

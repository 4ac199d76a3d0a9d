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
from mmsr.data.importers.joins import check_join
from mmsr.data.importers.readers.rows import RowCount, Rows
from mmsr.data.importers.readers.tables import read_table
from mmsr.data.importers.vectors import as_matrix
from mmsr.errors import UserError

UNUSED = "of items without interactions"
"""Name of the rows for items that the data set does not have."""


def read_features(
    path: Path,
    modality: str,
    known_items: pa.Array,
    columns: Mapping[str, str],
    note: Callable[[str], None] = lambda _: None,
) -> tuple[FeatureTable, RowCount]:
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
    count : how many rows were read, left out and kept.

    Raises
    ------
    UserError : the table cannot be read, or a vector is unusable; the message names the item.
    """
    source = str(path)
    table = read_table(path, ("item_id", "vector"), columns=columns)
    n_rows = table.num_rows
    present = pc.is_valid(_without_blanks(table.column("vector")))
    rows = Rows(path, np.flatnonzero(present.to_numpy()))
    table = table.filter(present)
    if table.num_rows == 0:
        raise UserError(f"{source} has no {modality} vectors: give at least one, or leave it out")
    ids = as_ids(table.column("item_id"), "item_id", rows)
    vectors = as_matrix(
        table.column("vector"), ids.values.take(pa.array(ids.codes)), modality, source
    )
    first = _first_rows(ids.codes, vectors, ids.values, modality, source)
    items = pc.index_in(ids.values, known_items.cast(ids.values.type))
    items = pc.fill_null(items, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    used = np.flatnonzero(items >= 0)
    check_join(ids.values, known_items, source, note)
    order = used[np.argsort(items[used])]
    chosen = vectors[first[order]]
    check_varied(chosen, modality, source)
    count = RowCount(
        path.name,
        n_rows,
        {
            "without a vector": n_rows - len(vectors),
            "repeated": len(vectors) - len(first),
            UNUSED: len(items) - len(used),
        },
        len(order),
    )
    return FeatureTable(items[order], chosen), count


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
    if not pa.types.is_large_string(column.type):
        return column
    blank = pc.equal(pc.utf8_trim_whitespace(column), "")
    return pc.if_else(blank, pa.scalar(None, column.type), column)


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

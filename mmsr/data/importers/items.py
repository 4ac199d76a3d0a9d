"""Metadata of items: titles, descriptions and the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmsr.data.importers.columns import as_ids, as_texts
from mmsr.data.importers.features import UNUSED
from mmsr.data.importers.joins import check_join
from mmsr.data.importers.readers.rows import RowCount, Rows
from mmsr.data.importers.readers.tables import listed, read_with_names
from mmsr.data.manifest import ImportSettings
from mmsr.errors import UserError

TEXT_COLUMNS = ("title", "description", "brand", "categories")
"""Columns that are encoded as text unless others are chosen, in this order."""
METADATA_COLUMNS = (*TEXT_COLUMNS, "image")


@dataclass(frozen=True)
class Metadata:
    """Metadata of the items of a data set.

    Attributes
    ----------
    table : item_id and the columns that were given, by item index.
    texts : the text of each item, or None.
    missing : number of items that the table does not list; they stay, without metadata.
    unused : number of listed items that the data set does not have.
    count : how many rows were read, left out and kept; None without a table.
    """

    table: pa.Table
    texts: list[str | None]
    missing: int = 0
    unused: int = 0
    count: RowCount | None = None

    @classmethod
    def empty(cls, item_ids: pa.Array) -> Metadata:
        """Metadata of a data set without a table of items.

        Parameters
        ----------
        item_ids : ids of the data set's items, by item index.
        """
        return cls(pa.table({"item_id": item_ids}), [None] * len(item_ids))


def read_metadata(
    path: Path,
    item_ids: pa.Array,
    settings: ImportSettings,
    note: Callable[[str], None] = lambda _: None,
) -> Metadata:
    """Read the table of items.

    Items that only the interactions know are kept, without metadata. Items that only this table
    knows are left out. An item may be listed twice only with the same content.

    Parameters
    ----------
    path : table of item_id and metadata columns.
    item_ids : ids of the data set's items, by item index.
    settings : which columns are encoded as text, and the column names in the file.
    note : called with what is no error, but should be known.

    Raises
    ------
    UserError : the table cannot be used, or says nothing about the items.
    """
    source = str(path)
    chosen = settings.text_from or ()
    rest = [name for name in METADATA_COLUMNS if name not in chosen]
    table, names = read_with_names(path, ("item_id", *chosen), rest, settings.columns)
    ids = as_ids(table.column("item_id"), "item_id", Rows(path))
    _check_use(path, table.column_names, names, settings.columns, note)
    columns = {
        name: as_texts(table.column(name), name, source)
        for name in table.column_names
        if name != "item_id"
    }
    first = np.full(len(ids.values), len(ids.codes), dtype=np.int64)
    np.minimum.at(first, ids.codes, np.arange(len(ids.codes)))
    for name, texts in columns.items():
        same = _equal(texts, texts.take(pa.array(first[ids.codes])))
        if not same.all():
            item = ids.values[int(ids.codes[same.argmin()])].as_py()
            raise UserError(
                f"{source}: item {item!r} is listed twice with a different {name}: keep one row"
            )
    check_join(ids.values, item_ids, source, note)
    place = pc.index_in(item_ids, ids.values)
    rows = pa.array(first).take(place)
    columns = {name: texts.take(rows) for name, texts in columns.items()}
    encoded = chosen or tuple(name for name in TEXT_COLUMNS if name in columns)
    missing = place.null_count
    kept = len(item_ids) - missing
    unused = len(ids.values) - kept
    repeated = len(ids.codes) - len(ids.values)
    dropped = {"repeated": repeated, UNUSED: unused}
    return Metadata(
        table=pa.table({"item_id": item_ids, **columns}),
        texts=_join([columns[name] for name in encoded], len(item_ids)),
        missing=missing,
        unused=unused,
        count=RowCount(path.name, table.num_rows, dropped, kept),
    )


def check_texts(path: Path, settings: ImportSettings, note: Callable[[str], None]) -> None:
    """Say that no item has a text, so that there is no modality text.

    Parameters
    ----------
    path : table of items.
    settings : which columns are encoded as text.
    note : called with the message.

    Raises
    ------
    UserError : the columns were chosen with --text-from.
    """
    names = ", ".join(settings.text_from or TEXT_COLUMNS)
    message = f"{path}: no item that is kept has a text in {names}"
    if settings.text_from:
        raise UserError(f"{message}: give --text-from other columns, or leave it out")
    note(f"note: {message}: there is no modality text")


def _check_use(
    path: Path,
    used: Sequence[str],
    names: Sequence[str],
    columns: Mapping[str, str],
    note: Callable[[str], None],
) -> None:
    """Name the columns that are not used; a table without any but item_id is refused."""
    unused = sorted(set(names) - {columns.get(name, name) for name in used} - {"item_id"})
    known = ", ".join(METADATA_COLUMNS)
    if set(used) == {"item_id"}:
        found = listed(unused) or "none"
        raise UserError(
            f"{path} says nothing about its items: beside item_id it needs one or more of {known}; "
            f"other columns: {found}; --columns maps them, e.g. --columns title=COLUMN"
        )
    if unused:
        note(
            f"note: {path}: columns not used: {listed(unused)}; known: {known}; --columns maps them"
        )


def _equal(left: pa.Array, right: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether two columns hold the same, two nulls being the same."""
    equal = pc.fill_null(pc.equal(left, right), False)
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    return np.asarray(pc.or_(equal, both_null).to_numpy(zero_copy_only=False))


def _join(columns: list[pa.Array], n_items: int) -> list[str | None]:
    """The texts of each item, one a line; None where it has none at all."""
    if not columns:
        return [None] * n_items
    # pyarrow's binary_join_element_wise would drop rows without any text and shift the others.
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return ["\n".join(text for text in row if text) or None for row in rows]

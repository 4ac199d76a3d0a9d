"""Arrow files on disk: written uncompressed, read as memory maps, hashed by content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.data.closed import refuse_held_out
from mmsr.data.folders import cannot
from mmsr.data.progress import Advance
from mmsr.data.splits.prefixes import alternating
from mmsr.errors import UserError, reason_of

MOMENTS = "moments"
"""Column with the moment of each item of a history, no part of the content that is hashed; data
sets of earlier versions of mmsr do not have it."""
_BLOCK = 1 << 20
_TEXTS = 1 << 16
"""Texts that are hashed at once."""


def write_arrow(path: Path, table: pa.Table) -> None:
    """Write a table as one uncompressed record batch, ready to be mapped.

    Parameters
    ----------
    path : the file; its folder is made where it is missing.
    table : what to write.

    Raises
    ------
    UserError : it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
    except OSError as error:
        raise cannot("write", path, error) from None


def read_arrow(path: Path) -> pa.Table:
    """Map an Arrow file that is not of a test part; nothing is read until it is used.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    UserError : it is missing or damaged, or belongs to a test part.
    """
    refuse_held_out(path)
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error).splitlines()[0]
        raise UserError(
            f"cannot read {path}: {reason}; import the data set again with --overwrite"
        ) from None


def column(table: pa.Table, name: str) -> pa.Array:
    """Take a column of a table as one array; it is copied only if it has several chunks.

    Parameters
    ----------
    table : holds the column.
    name : name of the column.
    """
    chunks = table.column(name).chunks
    return chunks[0] if len(chunks) == 1 else table.column(name).combine_chunks()


def list_column(values: NDArray[Any], offsets: NDArray[np.int64]) -> pa.Array:
    """Make a column of lists.

    Parameters
    ----------
    values : `[n]`, all lists one after the other.
    offsets : int64 `[n_lists + 1]`, where each list starts and ends in `values`.
    """
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))


def vector_column(vectors: NDArray[np.float32]) -> pa.Array:
    """Make a column of fixed-size lists from the rows of `vectors`, float32 `[n, width]`."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def moments_of(table: pa.Table) -> pa.Array | None:
    """The moments of a table's histories, one after the other.

    Parameters
    ----------
    table : has the histories in the column `items`.

    Returns
    -------
    Timestamps, or numbers if they were imported as such; None where they were not kept.

    Raises
    ------
    UserError : they are not those of the items.
    """
    if MOMENTS not in table.column_names:
        return None
    moments = column(table, MOMENTS)
    if moments.null_count or not moments.offsets.equals(column(table, "items").offsets):
        raise UserError("the data set's moments are damaged: import it again with --overwrite")
    return moments.values


def without_moments(table: pa.Table) -> pa.Table:
    """The content of a table of histories, as it is hashed."""
    return table.select([name for name in table.column_names if name != MOMENTS])


def parted(
    values: NDArray[Any], offsets: NDArray[np.int64], n_test: NDArray[np.int64]
) -> tuple[pa.Array, pa.Array]:
    """Development and test of histories, each a column of lists.

    Parameters
    ----------
    values, offsets : `[n]` and int64 `[n_users + 1]`, whole histories one after the other.
    n_test : int64 `[n_users]`, how many of each user's latest are test.
    """
    n_seen = np.diff(offsets) - n_test
    is_seen = alternating(n_seen, n_test)
    seen, test = (
        list_column(values[part], np.concatenate([[0], np.cumsum(counts)]))
        for part, counts in ((is_seen, n_seen), (~is_seen, n_test))
    )
    return seen, test


def joined(
    seen: NDArray[Any], seen_offsets: NDArray[np.int64], test: NDArray[Any], ends: NDArray[np.int64]
) -> NDArray[Any]:
    """Whole histories of development and test, one after the other; undoes `parted`.

    Parameters
    ----------
    seen, seen_offsets : `[n_seen]` and int64 `[n_users + 1]`, development.
    test, ends : `[n_test]` and int64 `[n_users + 1]`, test.

    Returns
    -------
    Values `[n_seen + n_test]`; `seen_offsets + ends` says where each history starts and ends.
    """
    whole = np.empty(len(seen) + len(test), dtype=seen.dtype)
    is_seen = alternating(np.diff(seen_offsets), np.diff(ends))
    whole[is_seen], whole[~is_seen] = seen, test
    return whole


def file_sha256(path: Path, advance: Advance) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Parameters
    ----------
    path : the file.
    advance : called with the bytes of every block that was read.

    Raises
    ------
    UserError : it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                advance(len(block))
    except OSError as error:
        raise cannot("read", path, error) from None
    return digest.hexdigest()


def features_hash(items: NDArray[np.int64], vectors: NDArray[np.float32]) -> str:
    """SHA-256 over the vectors of a modality, in hexadecimal.

    Parameters
    ----------
    items : int64 `[n]`, item index of each vector.
    vectors : float32 `[n, width]`.
    """
    digest = hashlib.sha256(f"{vectors.shape}".encode())
    digest.update(np.ascontiguousarray(items, dtype=np.int64).data)
    digest.update(np.ascontiguousarray(vectors, dtype=np.float32).data)
    return digest.hexdigest()


def content_hash(protocol: str, tables: Mapping[str, pa.Table]) -> str:
    """SHA-256 over a whole data set, in hexadecimal.

    Parameters
    ----------
    protocol : how it is split.
    tables : all tables by file name, in the order of `prepare`.
    """
    content = ContentHash()
    content.add_text(protocol)
    for file, table in tables.items():
        content.add_table(file, table)
    return content.hexdigest()


class ContentHash:
    """SHA-256 over the values of tables, independent of chunks, padding and file format."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add_text(self, text: str) -> None:
        """Add the string `text`."""
        self._add(text.encode())

    def add_table(self, name: str, table: pa.Table) -> None:
        """Add a table: names, types, order and values of all columns.

        Parameters
        ----------
        name : name of the table, which is hashed too.
        table : any number of chunks.
        """
        self.add_text(name)
        for field in table.schema:
            self.add_text(f"{field.name}:{field.type}")
            self._add_array(column(table, field.name))

    def hexdigest(self) -> str:
        """The hash of everything that was added, in order."""
        return self._digest.hexdigest()

    def _add_array(self, array: pa.Array) -> None:
        kind = array.type
        self._add(len(array).to_bytes(8, "little"))
        if pa.types.is_large_list(kind) or pa.types.is_list(kind):
            self._add_numpy(pc.list_value_length(array))
            self._add_array(array.flatten())
        elif pa.types.is_fixed_size_list(kind):
            self._add_array(array.flatten())
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            lengths = pc.binary_length(array)
            self._add_numpy(pc.fill_null(lengths, -1))
            self._add_length(pc.sum(lengths, min_count=0).as_py())
            for start in range(0, len(array), _TEXTS):
                texts = array.slice(start, _TEXTS).to_pylist()
                self._digest.update("".join(text for text in texts if text).encode())
        else:
            self._add_numpy(array)

    def _add_numpy(self, array: Any) -> None:
        values = np.ascontiguousarray(array.to_numpy(zero_copy_only=False))
        self._add(values.view(np.uint8).data if len(values) else b"")

    def _add(self, data: bytes | memoryview) -> None:
        self._add_length(len(data))
        self._digest.update(data)

    def _add_length(self, n_bytes: int) -> None:
        self._digest.update(n_bytes.to_bytes(8, "little"))

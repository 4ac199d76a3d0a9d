"""Tables in memory: data frames of pandas and polars, Arrow tables, matrices with ids."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmsr.data.importers.foreign.arrays import (
    as_id_array,
    check_length,
    check_matrix,
    matrix_pieces,
)
from mmsr.data.importers.foreign.base import PIECE, Foreign, with_names
from mmsr.data.importers.readers.plain import plain
from mmsr.data.progress import Advance
from mmsr.errors import UserError

_GIVE = "give a data frame of pandas or polars, or an Arrow table"
_FROM_0 = "(rows are counted from 0)"


@dataclass(frozen=True)
class InMemory(Foreign):
    """A table that a program has in memory.

    Attributes
    ----------
    argument : the argument that it was given as, e.g. ``interactions``.
    table : the table.
    """

    argument: str
    table: pa.Table

    @property
    def shown(self) -> str:
        """The argument."""
        return self.argument

    @property
    def label(self) -> str:
        """The argument."""
        return self.argument

    def check(self) -> None:
        """Check that names of columns are there once."""
        names = self.table.column_names
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"{self.shown} has two columns named {twice[0]!r}: rename one")

    def column_names(self) -> list[str]:
        """Names of the columns."""
        return list(self.table.column_names)

    def recorded(self) -> str:
        """Say that it cannot be found again."""
        return "(a table in Python)"

    @property
    def size(self) -> int:
        """Size of the values in bytes."""
        return int(self.table.nbytes)

    def fingerprint(self, advance: Advance) -> str:
        """SHA-256 over names, types and values, however they are laid out."""
        digest = hashlib.sha256(repr(self.table.column_names).encode())
        for name in self.table.column_names:
            column = self._plain(name)
            digest.update(f"{name}:{column.type}:{len(column)}".encode())
            for start in range(0, len(column), PIECE):
                _add(digest, pa.concat_arrays(column.slice(start, PIECE).chunks))
            advance(int(self.table.column(name).nbytes))
        return digest.hexdigest()

    def pieces(self, wanted: Collection[str]) -> Iterator[pa.Table]:
        """Yield all rows at once: they are in memory anyway."""
        names = self.table.column_names
        columns = {name: self._plain(name) for name in names if name in wanted}
        yield with_names(columns, names, self.table.num_rows)

    def place(self, row: int) -> tuple[str, str]:
        """Name the row, counted from 0 as in Python."""
        return f"{self.shown}: row {row}", _FROM_0

    def _plain(self, name: str) -> pa.ChunkedArray:
        return plain(self.table.column(name), name, self.shown)


def as_table(given: Any, shown: str) -> InMemory:
    """Take a table from any library that speaks Arrow's interchange.

    Parameters
    ----------
    given : a data frame of pandas or polars, an Arrow table, a mapping of columns by name, or
        whatever has `__arrow_c_stream__`.
    shown : the argument that it was given as, for errors.

    Raises
    ------
    UserError : it is something else, or a column's values are of several kinds.
    """
    if not (isinstance(given, Mapping) or hasattr(given, "__arrow_c_stream__")):
        raise UserError(f"{shown} is {type(given).__name__}: {_GIVE}")
    try:
        return InMemory(shown, pa.table(given).replace_schema_metadata(None))
    except (pa.ArrowException, TypeError, ValueError, OverflowError, KeyError) as error:
        reason = " ".join("; ".join(map(str, error.args)).split())[:120]
        raise UserError(
            f"{shown} is no table that can be read ({reason}): give columns of one kind and length"
        ) from None


def as_features(given: Any, shown: str) -> InMemory:
    """Take the vectors of a modality: a table of item_id and vector, or `(ids, matrix)`.

    Parameters
    ----------
    given : see `as_table`; or a pair of `[n]` ids and `[n, width]` numbers.
    shown : the argument that it was given as, for errors.

    Raises
    ------
    UserError : it is something else.
    """
    if not isinstance(given, tuple):
        return as_table(given, shown)
    if len(given) != 2:
        raise UserError(f"{shown} is a tuple of {len(given)}: give (ids, matrix), or a table")
    names = f"{shown}[0]", f"{shown}[1]"
    try:
        vectors = np.asarray(given[1])
        ids = np.asarray(given[0])
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{shown} holds no arrays ({reason}): give (ids, matrix)") from None
    check_matrix(vectors, names[1])
    if ids.dtype.kind == "O":
        if not all(isinstance(one, str | int) for one in ids.flat):
            raise UserError(f"{names[0]} holds other things than texts: write ids as text")
        ids = ids.astype(str)
    id_column = as_id_array(ids, names[0])
    check_length(id_column, vectors, *names)
    return InMemory(shown, pa.concat_tables(matrix_pieces(id_column, vectors)))


def _add(digest: Any, array: pa.Array) -> None:
    """Hash which values are there, and what they are."""
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    digest.update(len(array).to_bytes(8, "little") + np.packbits(valid).tobytes())
    array = array.drop_null()
    kind = array.type
    if pa.types.is_large_list(kind):
        digest.update(pc.list_value_length(array).to_numpy(zero_copy_only=False).tobytes())
        _add(digest, array.flatten())
    elif pa.types.is_large_string(kind):
        digest.update(pc.binary_length(array).to_numpy(zero_copy_only=False).tobytes())
        digest.update("".join(array.to_pylist()).encode())
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_timestamp(kind):
        digest.update(np.ascontiguousarray(array.to_numpy(zero_copy_only=False)).tobytes())
    else:
        digest.update(repr(array.to_pylist()).encode())

"""A table that was read in blocks, to be read again column by column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmsr.data.folders import cannot
from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.data.importers.readers.plain import plain
from mmsr.errors import UserError


class Staged:
    """A table that was read in blocks, to be read again column by column.

    Its blocks lie in memory until they are too large together, then in files.

    Parameters
    ----------
    source : where the table is from, for errors.
    scratch : space for the files.

    Attributes
    ----------
    n_rows : number of rows.
    in_memory : whether all blocks lie in memory.
    """

    def __init__(self, source: Path, scratch: Scratch) -> None:
        self.n_rows = 0
        self.in_memory = True
        self._source = str(source)
        self._scratch = scratch
        self._blocks: list[pa.Table | Path] = []
        self._n_bytes = 0
        self._types: dict[str, pa.DataType] = {}
        self._given: dict[str, str] = {}
        self._refused: dict[str, UserError] = {}

    def add(self, table: pa.Table) -> None:
        """Add a block, whose columns may be of another type or missing in other blocks.

        Parameters
        ----------
        table : one row or more; its columns have the names that they will be read by.

        Raises
        ------
        pyarrow.ArrowInvalid : a column has values of different kinds in different blocks.
        UserError : there is no space for a file.
        """
        columns = {}
        for name in table.column_names:
            try:
                columns[name] = plain(table.column(name), name, self._source)
            except UserError as error:  # the file may be damaged, which is to be said first
                self._refused.setdefault(name, error)
                continue
            kind = columns[name].type
            self._types[name] = _common(name, self._types.get(name, kind), kind)
        self.n_rows += table.num_rows
        block = pa.table(columns)
        self._blocks.append(block)
        self._n_bytes += block.nbytes
        if self._scratch.is_large(self._n_bytes):
            self.in_memory = False
            self._blocks = [self._spilled(block) for block in self._blocks]

    def finish(self, given: Mapping[str, str]) -> None:
        """Name the columns once all blocks are there.

        Parameters
        ----------
        given : names in the blocks by the names to read them by.

        Raises
        ------
        UserError : a column is of a layout that cannot be used.
        """
        self._given = dict(given)
        for name in self._given.values():
            if name in self._refused:
                raise self._refused[name]

    def column(self, name: str) -> StagedColumn:
        """A column, to be read in parts.

        Parameters
        ----------
        name : one of the names given to `finish`.
        """
        given = self._given[name]
        return StagedColumn(self, given, self._types[given])

    def blocks_of(self, given: str, kind: pa.DataType) -> Iterator[pa.Array]:
        """The blocks of a column, all of one type.

        Parameters
        ----------
        given : name of the column in the blocks.
        kind : the type.
        """
        for block in self._blocks:
            table = block if isinstance(block, pa.Table) else _read(block, given)
            if given not in table.column_names:
                yield pa.nulls(table.num_rows, kind)
                continue
            for chunk in table.column(given).chunks:
                yield chunk if chunk.type == kind else chunk.cast(kind, safe=False)

    def _spilled(self, block: pa.Table | Path) -> Path:
        if isinstance(block, Path):
            return block
        path = self._scratch.file(".arrow")
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        try:
            with (
                pa.OSFile(str(path), "wb") as sink,
                pa.ipc.new_file(sink, block.schema, options=options) as writer,
            ):
                writer.write_table(block)
        except OSError as error:
            raise cannot("write to", path.parent, error) from None
        return path


@dataclass(frozen=True)
class StagedColumn:
    """A column of a staged table; see `bounded.parts.Column`."""

    table: Staged
    given: str
    type: pa.DataType

    def __len__(self) -> int:
        return self.table.n_rows

    @property
    def chunks(self) -> Iterator[pa.Array]:
        """The parts, in the order of rows."""
        return self.table.blocks_of(self.given, self.type)


def _read(path: Path, name: str) -> pa.Table:
    """One column of a block; where the block lacks it, another, which says how many rows it has."""
    with pa.OSFile(str(path), "rb") as source:
        names = pa.ipc.open_file(source).schema.names
        place = names.index(name) if name in names else 0
        options = pa.ipc.IpcReadOptions(included_fields=[place])
        return pa.ipc.open_file(source, options=options).read_all()


def _common(name: str, one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Type for the values of two blocks, as pyarrow finds it within one."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    number = (pa.types.is_integer, pa.types.is_floating)
    if all(any(is_kind(kind) for is_kind in number) for kind in (one, other)):
        return pa.float64()
    raise pa.ArrowInvalid(f"JSON parse error: Column(/{name}) changed from {one} to {other}")

"""A table that was read in blocks, to be read again column by column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmsr.data.folders import cannot
from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.data.importers.readers.plain import common, plain
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
            before = self._types.get(name, kind)
            try:
                self._types[name] = common(before, kind, mixed=True)
            except TypeError:
                changed = f"JSON parse error: Column(/{name}) changed from {before} to {kind}"
                raise pa.ArrowInvalid(changed) from None
        self.n_rows += table.num_rows
        # A block without any of the columns still has rows.
        block = pa.table(columns or {"": pa.nulls(table.num_rows)})
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

    def tables(self) -> Iterator[pa.Table]:
        """All rows, a block at a time, under the names given to `finish`.

        A column that no block has is of type null. There is one table at least.
        """
        kinds = {given: self._types.get(given, pa.null()) for given in self._given.values()}
        names = self._given.items()
        if not self._blocks:
            yield pa.table({name: pa.array([], kinds[given]) for name, given in names})
        for block in self._blocks:
            columns = {name: _column(block, given, kinds[given]) for name, given in names}
            yield pa.table({name: pa.chunked_array(chunks) for name, chunks in columns.items()})

    def blocks_of(self, given: str, kind: pa.DataType) -> Iterator[pa.Array]:
        """The blocks of a column, all of one type.

        Parameters
        ----------
        given : name of the column in the blocks.
        kind : the type.
        """
        for block in self._blocks:
            yield from _column(block, given, kind)

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


def _column(block: pa.Table | Path, name: str, kind: pa.DataType) -> list[pa.Array]:
    """The chunks of a column of a block; nulls where the block lacks it."""
    table = block if isinstance(block, pa.Table) else _read(block, name)
    if name not in table.column_names:
        return [pa.nulls(table.num_rows, kind)]
    chunks = table.column(name).chunks
    return [chunk if chunk.type == kind else chunk.cast(kind, safe=False) for chunk in chunks]


def _read(path: Path, name: str) -> pa.Table:
    """One column of a block; where the block lacks it, another, which says how many rows it has."""
    with pa.OSFile(str(path), "rb") as source:
        names = pa.ipc.open_file(source).schema.names
        place = names.index(name) if name in names else 0
        options = pa.ipc.IpcReadOptions(included_fields=[place])
        return pa.ipc.open_file(source, options=options).read_all()

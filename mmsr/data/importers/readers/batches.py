"""Reading a table in batches, however large its file is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.data.importers.bounded.staged import Staged
from mmsr.data.importers.readers.delimited import check_count, csv_options, read_header
from mmsr.data.importers.readers.formats import JSON, PARQUET, check_format
from mmsr.data.importers.readers.json_lines import read_json_batches
from mmsr.data.importers.readers.tables import choose, empty, explained


def stage_table(
    path: Path, required: Sequence[str], columns: Mapping[str, str], scratch: Scratch
) -> Staged:
    """Read some columns of a table, like `read_table`, into parts that need not fit in memory.

    Parameters
    ----------
    path : the file; its ending decides the format.
    required : names of the columns.
    columns : column names in the file by mmsr's names, where they differ.
    scratch : space for the parts.

    Raises
    ------
    UserError : as `read_table`.
    """
    ending = check_format(path)
    staged = Staged(path, scratch)
    with explained(path, ending):
        if ending in JSON:
            given = _stage_json(path, required, columns, staged, scratch.limits.block_bytes)
        else:
            given = _stage_typed(path, ending, required, columns, staged, scratch)
        if not staged.n_rows:
            raise empty(path)
    staged.finish(given)
    return staged


def read_batches(
    path: Path,
    names: Sequence[str],
    required: Sequence[str],
    optional: Sequence[str] = (),
    *,
    rows: int,
    block_bytes: int = 1 << 24,
) -> Iterator[pa.Table]:
    """Read some columns of a table in batches, which need not have the same types.

    Parameters
    ----------
    path : the file; its ending decides the format.
    names : all columns of the file, as `column_names` returns them.
    required, optional : names of the columns; optional ones may be missing.
    rows : most rows of a batch of Parquet.
    block_bytes : bytes of a batch of text.

    Raises
    ------
    UserError : as `read_table`, but an empty table has no batches.
    """
    ending = check_format(path)
    with explained(path, ending):
        chosen = list(choose(path, names, required, optional, {}))
        if ending in PARQUET:
            batches = _read_parquet(path, chosen, rows)
        elif ending in JSON:
            tables = (table for _, table in read_json_batches(path, chosen, block_bytes))
            yield from (table for table in tables if table.num_rows)
            return
        else:
            batches = _read_delimited(path, ending, chosen, block_bytes)
        for batch in batches:
            if batch.num_rows:
                yield pa.Table.from_batches([batch])


def _stage_json(
    path: Path, required: Sequence[str], columns: Mapping[str, str], staged: Staged, size: int
) -> dict[str, str]:
    """Stage all columns that may be wanted: only the last block tells which names there are."""
    wanted = {name for mine in required for name in (mine, columns.get(mine, mine))}
    names: list[str] = []
    for found, table in read_json_batches(path, wanted, size):
        for name in found:
            names += [name] * (found.count(name) - names.count(name))
        if table.num_rows:
            staged.add(
                table.select([name for name in found if name in wanted and found.count(name) == 1])
            )
    return choose(path, names, required, (), columns)


def _stage_typed(
    path: Path,
    ending: str,
    required: Sequence[str],
    columns: Mapping[str, str],
    staged: Staged,
    scratch: Scratch,
) -> dict[str, str]:
    if ending in PARQUET:
        names = list(pa.parquet.read_schema(path).names)
    elif not (names := read_header(path, ending)):
        raise empty(path)
    chosen = choose(path, names, required, (), columns)
    given = list(chosen.values())
    if ending in PARQUET:
        batches = _read_parquet(path, given, scratch.limits.batch_rows)
    else:
        batches = _read_delimited(path, ending, given, scratch.limits.block_bytes)
    mine = {name: own for own, name in chosen.items()}
    for batch in batches:
        if batch.num_rows:
            table = pa.Table.from_batches([batch])
            staged.add(table.rename_columns([mine[name] for name in table.column_names]))
    return {name: name for name in chosen}


def _read_delimited(
    path: Path, ending: str, chosen: list[str], block: int
) -> Iterator[pa.RecordBatch]:
    n_rows, options = csv_options(path, ending, chosen, block)
    n_read = 0
    try:
        with pa.csv.open_csv(path, **options) as reader:
            for batch in reader:
                n_read += batch.num_rows
                yield batch
    except pa.ArrowInvalid as error:  # rows of a block mean nothing to a user
        raise pa.ArrowInvalid(re.sub(r"Row #\d+: ", "", str(error), count=1)) from None
    check_count(path, n_rows, n_read)


def _read_parquet(path: Path, chosen: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Read columns, and check at the end that texts were UTF-8: Parquet does not say."""
    refused: pa.ArrowInvalid | None = None
    with pa.parquet.ParquetFile(path, buffer_size=1 << 20) as file:
        for batch in file.iter_batches(rows, columns=chosen):
            try:
                batch.validate(full=True)
            except pa.ArrowInvalid as error:
                refused = refused or error
            else:
                yield batch
    if refused is not None:
        raise refused

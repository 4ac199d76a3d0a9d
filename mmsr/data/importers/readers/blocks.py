"""Reading the columns of a file in blocks, however large it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from mmsr.data.importers.readers.delimited import check_count, csv_options, quoted_tables

_BLOCK = 1 << 20
"""Bytes of text that pyarrow is given at once: it reads 32 blocks ahead, which cannot be set."""


def delimited_blocks(path: Path, ending: str, chosen: list[str], size: int) -> Iterator[pa.Table]:
    """Read columns as `read_delimited`, in blocks.

    Parameters
    ----------
    path, ending, chosen : as for `read_delimited`.
    size : bytes of a block, at least; no line may be longer.

    Raises
    ------
    UserError, pyarrow.ArrowException : as `read_delimited`, perhaps after some blocks.
    """
    batches: list[pa.RecordBatch] = []
    n_bytes = 0
    for batch in _batches(path, ending, chosen, size):
        batches.append(batch)
        n_bytes += batch.nbytes
        if n_bytes >= size:
            yield pa.Table.from_batches(batches)
            batches, n_bytes = [], 0
    if batches:
        yield pa.Table.from_batches(batches)


def _batches(path: Path, ending: str, chosen: list[str], size: int) -> Iterator[pa.RecordBatch]:
    """Rows as pyarrow reads them, by larger steps from where a line is too long for small ones.

    A header that is too long is refused in other words than a row, before there are any rows.
    """
    n_read = 0
    for block in sorted({min(_BLOCK, size), size}):
        n_rows, options = csv_options(path, ending, chosen, block)
        skip = n_read
        try:
            with _opened(path, ending, options) as batches:
                for batch in batches:
                    new = batch.slice(min(skip, batch.num_rows))
                    skip -= batch.num_rows - new.num_rows
                    n_read += new.num_rows
                    if new.num_rows:
                        yield new
        except pa.ArrowInvalid as error:
            if block < size and (not n_read or "straddling" in str(error)):
                continue
            # Rows of a block mean nothing to a user.
            raise pa.ArrowInvalid(re.sub(r"Row #\d+: ", "", str(error), count=1)) from None
        check_count(path, n_rows, n_read)
        return


@contextmanager
def _opened(
    path: Path, ending: str, options: Mapping[str, Any]
) -> Iterator[Iterable[pa.RecordBatch]]:
    if options["parse_options"].newlines_in_values:
        size = options["read_options"].block_size
        tables = quoted_tables(path, ending, options, size)
        yield (batch for table in tables for batch in table.to_batches())
    else:
        with pa.csv.open_csv(path, **options) as reader:
            yield reader


def parquet_blocks(path: Path, chosen: list[str], rows: int) -> Iterator[pa.Table]:
    """Read columns, and check at the end that texts were UTF-8: Parquet does not say.

    Parameters
    ----------
    path : the file.
    chosen : names of the columns.
    rows : most rows of a block.

    Raises
    ------
    pyarrow.ArrowException : the file is damaged.
    """
    refused: pa.ArrowInvalid | None = None
    with pa.parquet.ParquetFile(path, buffer_size=1 << 20) as file:
        for batch in file.iter_batches(rows, columns=chosen):
            try:
                batch.validate(full=True)
            except pa.ArrowInvalid as error:
                refused = refused or error
            else:
                yield pa.Table.from_batches([batch])
    if refused is not None:
        raise refused

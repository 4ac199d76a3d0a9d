"""Reading a table in batches, however large its file is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.data.importers.bounded.staged import Staged
from mmsr.data.importers.readers.blocks import delimited_blocks, parquet_blocks
from mmsr.data.importers.readers.delimited import read_header
from mmsr.data.importers.readers.formats import JSON, PARQUET, check_format
from mmsr.data.importers.readers.json_lines import stage_json_lines
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


def _stage_json(
    path: Path, required: Sequence[str], columns: Mapping[str, str], staged: Staged, size: int
) -> dict[str, str]:
    """Stage all columns that may be wanted: only the last block tells which names there are."""
    wanted = {name for mine in required for name in (mine, columns.get(mine, mine))}
    names = stage_json_lines(path, wanted, staged, size)
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
        blocks = parquet_blocks(path, given, scratch.limits.batch_rows)
    else:
        blocks = delimited_blocks(path, ending, given, scratch.limits.block_bytes)
    mine = {name: own for own, name in chosen.items()}
    for table in blocks:
        if table.num_rows:
            staged.add(table.rename_columns([mine[name] for name in table.column_names]))
    return {name: name for name in chosen}

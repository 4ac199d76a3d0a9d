"""Reading the columns that a file has, under its own names, a piece at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.data.importers.bounded.staged import Staged
from mmsr.data.importers.readers.blocks import delimited_blocks, parquet_blocks
from mmsr.data.importers.readers.delimited import read_header
from mmsr.data.importers.readers.formats import JSON, PARQUET, check_format
from mmsr.data.importers.readers.json_lines import stage_json_lines
from mmsr.data.importers.readers.plain import plain
from mmsr.data.importers.readers.tables import explained
from mmsr.data.importers.scratch import scratch
from mmsr.errors import UserError

_PIECE = 1 << 17


def read_pieces(path: Path, wanted: Collection[str], ending: str = "") -> Iterator[pa.Table]:
    """Read those of the wanted columns that a file has, in pieces that fit in memory.

    Parameters
    ----------
    path : the file.
    wanted : names of columns, as the file has them.
    ending : the ending that decides the format; the default is that of the file's name.

    Yields
    ------
    Tables of one schema, one or more, the columns in the order of the file and of the types of
    `read_table`; where none of the wanted is there, the first column comes for its rows.

    Raises
    ------
    UserError : the file cannot be read, or has a wanted column twice.
    """
    with opened(path, wanted, ending) as pieces:
        yield from pieces()


@contextmanager
def opened(
    path: Path, wanted: Collection[str], ending: str = ""
) -> Iterator[Callable[[], Iterator[pa.Table]]]:
    """Context with what reads a file as `read_pieces`, each time from its beginning.

    JSON lines are parsed once, into a temporary folder: only the last one tells the columns' types.

    Parameters
    ----------
    path, wanted, ending : as for `read_pieces`.

    Raises
    ------
    UserError : as `read_pieces`.
    """
    ending = ending or check_format(path)
    if ending not in JSON:
        yield partial(_plain_pieces, path, ending, partial(_blocks, path, ending, wanted))
        return
    with scratch() as folder:
        space = Scratch(folder)
        staged = Staged(path, space)
        with explained(path, ending):
            names = stage_json_lines(path, wanted, staged, space.limits.block_bytes)
            staged.finish({name: name for name in _chosen(path, names, wanted)})
        yield partial(_plain_pieces, path, ending, staged.tables)


def _plain_pieces(
    path: Path, ending: str, tables: Callable[[], Iterator[pa.Table]]
) -> Iterator[pa.Table]:
    with explained(path, ending):
        for table in tables():
            yield pa.table(
                {name: plain(table.column(name), name, str(path)) for name in table.column_names}
            )


def _blocks(path: Path, ending: str, wanted: Collection[str]) -> Iterator[pa.Table]:
    if ending in PARQUET:
        schema = pa.parquet.read_schema(path)
        chosen = _chosen(path, schema.names, wanted)
        yield schema.empty_table().select(chosen)  # there may be no rows at all
        yield from parquet_blocks(path, chosen, _PIECE)
    else:
        chosen = _chosen(path, read_header(path, ending), wanted)
        yield pa.table({name: pa.array([], pa.large_string()) for name in chosen})
        yield from delimited_blocks(path, ending, chosen, Scratch().limits.block_bytes)


def _chosen(path: Path, names: list[str], wanted: Collection[str]) -> list[str]:
    chosen = [name for name in names if name in wanted]
    if twice := [name for name in chosen if chosen.count(name) > 1]:
        raise UserError(f"{path} has two columns named {twice[0]!r}: rename one")
    if not names:
        raise UserError(f"{path} is empty: give a table with at least one row")
    return chosen or names[:1]

"""Interactions with numbers for ids, in the order of users and time: in memory, or by DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmsr.data.importers.bounded.duck import connected
from mmsr.data.importers.bounded.parts import Column, parts
from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.data.importers.bounded.staged import Staged
from mmsr.data.importers.columns import as_ids, check_ids, text_of_ids
from mmsr.data.importers.readers.rows import Rows
from mmsr.data.importers.times import Times, as_times

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_IDS = ("user_id", "item_id")
Write = Callable[[pa.Array], pa.Array]
_NUMBER = """
CREATE TABLE {name} AS
SELECT id, first, (row_number() OVER (ORDER BY id) - 1)::INTEGER AS number
FROM (SELECT id, min(row) AS first FROM texts GROUP BY id)
"""
_SORT = """
SELECT user_id.number AS user, item_id.number AS item, time
FROM rows JOIN user_id ON rows.user_id = user_id.id JOIN item_id ON rows.item_id = item_id.id
ORDER BY user_id.number, time, row
"""


@dataclass(frozen=True)
class Ordered:
    """Interactions by user, then by time; ties keep the order of the file.

    Attributes
    ----------
    users, items : int32 [n], indices of the ids.
    times : the moments, n of them.
    user_ids, item_ids : ids in ascending order as text.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: Times
    user_ids: pa.Array
    item_ids: pa.Array

    def up_to(self, n: int) -> Ordered:
        """The first `n` interactions."""
        times = replace(self.times, values=self.times.values[:n])
        return replace(self, users=self.users[:n], items=self.items[:n], times=times)


@runtime_checkable
class Orderable(Protocol):
    """A table of interactions that is read and sorted elsewhere; errors name it by its `str`."""

    @property
    def label(self) -> str:
        """Its name in counts of rows."""

    def order(self, columns: Mapping[str, str], scratch: Scratch) -> tuple[int, Ordered]:
        """Number of rows that were read, and the interactions as `order_interactions` sorts them.

        Parameters
        ----------
        columns : column names in the table by mmsr's names.
        scratch : space for what does not fit in memory.
        """


def order_interactions(staged: Staged, rows: Rows, scratch: Scratch) -> Ordered:
    """Check the columns of a table of interactions, and sort it.

    Parameters
    ----------
    staged : has the columns user_id, item_id and timestamp.
    rows : where its rows are from, for errors.
    scratch : space for what does not fit in memory.

    Raises
    ------
    UserError : see `as_ids` and `as_times`; or memory or disk is used up.
    """
    if not staged.in_memory:
        return _by_duckdb(staged, rows, scratch)
    users = as_ids(staged.column("user_id"), "user_id", rows)
    items = as_ids(staged.column("item_id"), "item_id", rows)
    times = as_times(staged.column("timestamp"), rows)
    order = np.lexsort((times.values, users.codes))
    return Ordered(
        users.codes[order].astype(np.int32),
        items.codes[order].astype(np.int32),
        replace(times, values=times.values[order]),
        users.values,
        items.values,
    )


def _by_duckdb(staged: Staged, rows: Rows, scratch: Scratch) -> Ordered:
    with connected(scratch) as database:
        numbered = {name: number_ids(database, staged.column(name), name, rows) for name in _IDS}
        times = as_times(staged.column("timestamp"), rows, scratch)
        writes = [write for write, _ in numbered.values()]
        database.register("rows", _rows(staged, writes, times.values))
        dtype = times.values.dtype
        found = database.sql(_SORT).to_arrow_reader(scratch.limits.batch_rows)
        users, items, moments = scratch.arrays(
            found, {"user": np.int32, "item": np.int32, "time": dtype}
        )
        if len(users) != staged.n_rows:
            raise RuntimeError(f"rows were lost: {staged.n_rows} became {len(users)}")
        return Ordered(
            users,
            items,
            replace(times, values=moments),
            *(ids for _, ids in numbered.values()),
        )


def number_ids(
    database: DuckDBPyConnection, column: Column, name: str, rows: Rows
) -> tuple[Write, pa.Array]:
    """Make a table of a column's ids, each with its first row and its place in their order.

    Parameters
    ----------
    database : gets the table, under the name of the column.
    column, name, rows : as for `as_ids`.

    Returns
    -------
    write : writes a part of the column as text.
    ids : the ids in their order.

    Raises
    ------
    UserError : see `as_ids`.
    """
    write = text_of_ids(column, name, rows)
    schema = pa.schema([("id", pa.large_string()), ("row", pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        for start, part in parts(column):
            numbers = np.arange(start, start + len(part))
            yield pa.record_batch([write(part), numbers], schema=schema)

    database.register("texts", pa.RecordBatchReader.from_batches(schema, batches()))
    database.execute(_NUMBER.format(name=name))
    database.unregister("texts")
    found = database.sql(f"SELECT id, first FROM {name}").to_arrow_reader()
    check_ids(((batch["id"], batch["first"].to_numpy()) for batch in found), name, rows)
    return write, _ids(database, name)


def _rows(
    staged: Staged, writes: Sequence[Write], times: NDArray[np.int64 | np.float64]
) -> pa.RecordBatchReader:
    """All rows, their ids as texts."""
    schema = pa.schema(
        [
            *((name, pa.large_string()) for name in _IDS),
            ("time", pa.from_numpy_dtype(times.dtype)),
            ("row", pa.int64()),
        ]
    )

    def batches() -> Iterator[pa.RecordBatch]:
        columns = (parts(staged.column(name)) for name in _IDS)
        for (start, users), (_, items) in zip(*columns, strict=True):
            span = slice(start, start + len(users))
            texts = [write(part) for write, part in zip(writes, (users, items), strict=True)]
            numbers = np.arange(span.start, span.stop)
            yield pa.record_batch([*texts, times[span], numbers], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _ids(database: DuckDBPyConnection, name: str) -> pa.Array:
    table = database.sql(f"SELECT id FROM {name} ORDER BY number").to_arrow_table()
    return table.column("id").cast(pa.large_string()).combine_chunks()

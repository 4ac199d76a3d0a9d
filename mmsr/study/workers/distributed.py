"""Interactions that a Ray cluster reads, numbers and sorts, where one machine has no space to.

Each file is read by one of the nodes, and the rows stay in the cluster, on the disks of all nodes
together (Ray Data). This machine reads each file once to hash it, and JSON lines once more for the
types of their columns; then the columns pass through it, one after the other. What stays here is
what the data set is made of: the ids, and 32 bytes for each interaction (48 with dates as text), in
files that are mapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.data.importers.bounded.duck import connected
from mmsr.data.importers.bounded.filters import spans_of_users
from mmsr.data.importers.bounded.ordering import Ordered, Write, number_ids
from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.data.importers.foreign.parts import Parts
from mmsr.data.importers.readers.rows import Rows
from mmsr.data.importers.readers.tables import choose, empty
from mmsr.data.importers.sources import Table
from mmsr.data.importers.times import Times, as_times
from mmsr.data.progress import Advance
from mmsr.data.storage import file_sha256
from mmsr.errors import UserError
from mmsr.study.workers.cluster_rows import batches, count_rows, explained, read_rows

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.data import Dataset

_IDS = ("user_id", "item_id")
_COLUMNS = (*_IDS, "timestamp")


def distributed(table: Table) -> Distributed:
    """The same table, to be read and sorted by the cluster that this process is connected to.

    Parameters
    ----------
    table : a file, or several that are one table; all nodes see them under the same paths.

    Raises
    ------
    UserError : it is of a kind that is read on this machine alone.
    """
    if isinstance(table, Parts):
        return Distributed(table.files, table.pattern, table.base)
    if isinstance(table, Path):
        return Distributed((table,), str(table), is_file=True)
    raise UserError(
        f"{table.shown}: a cluster reads CSV, TSV, JSONL and Parquet: give such files by "
        "--interactions, or leave --address out"
    )


@dataclass(frozen=True)
class Distributed(Parts):
    """Files of interactions that a cluster reads, numbers and sorts; see `bounded.ordering`.

    Attributes
    ----------
    is_file : whether it was given as one file, whose hash is that of its bytes.
    """

    is_file: bool = False

    def fingerprint(self, advance: Advance) -> str:
        """SHA-256 of the same table where it is read on this machine."""
        return file_sha256(self.files[0], advance) if self.is_file else super().fingerprint(advance)

    def order(self, columns: Mapping[str, str], scratch: Scratch) -> tuple[int, Ordered]:
        """Check the columns of all files, and sort their rows as `order_interactions` does.

        Parameters
        ----------
        columns : column names in the files by mmsr's names.
        scratch : space for what comes to this machine.

        Returns
        -------
        Number of rows that were read, and the interactions.

        Raises
        ------
        UserError : as if the files were read on this machine; or a node cannot see them.
        """
        given = choose(self.files[0], self.column_names(), _COLUMNS, (), columns)
        kinds = self.kinds(set(given.values()))
        rows = _Rows(Path(self.shown), table=self)
        with explained(self.shown):
            data = read_rows(self, {name: (own, kinds[own]) for name, own in given.items()})
            counts = count_rows(data, len(self.files))
            self.note_rows(counts)
            n_rows = sum(counts)
            if not n_rows:
                raise empty(Path(self.shown))
            view = {name: _Column(data, name, kinds[own], n_rows) for name, own in given.items()}
            times = as_times(view["timestamp"], rows, scratch)
            with _unwrapped(view.values()), connected(scratch) as database:
                numbers = [number_ids(database, view[name], name, rows) for name in _IDS]
            writes, (user_ids, item_ids) = zip(*numbers, strict=True)
            found = _sorted(data, writes, (user_ids, item_ids), counts)
            kinds_here = {"user": np.int32, "item": np.int32, "row": np.int64}
            users, items, places = scratch.arrays(found, kinds_here)
        if len(users) != n_rows:
            raise RuntimeError(f"rows were lost: {n_rows} became {len(users)}")
        moments = _by_time(users, items, places, times, scratch)
        return n_rows, Ordered(users, items, replace(times, values=moments), user_ids, item_ids)


@dataclass(frozen=True)
class _Rows(Rows):
    """Rows of several files; an error names the file and its line or row."""

    table: Parts = field(kw_only=True)

    def error(self, row: int, problem: str, remedy: str) -> UserError:
        place, counted = self.table.place(row)
        return UserError(f"{place} {problem}: {remedy}{f' {counted}' if counted else ''}")


@dataclass(frozen=True)
class _Column:
    """A column that lies in the cluster; see `bounded.parts.Column`.

    Attributes
    ----------
    failures : why it could not be read, for when a caller hides that.
    """

    data: Dataset
    name: str
    type: pa.DataType
    n_rows: int
    failures: list[Exception] = field(default_factory=list)

    def __len__(self) -> int:
        return self.n_rows

    @property
    def chunks(self) -> Iterator[pa.Array]:
        """The parts, in the order of rows."""
        try:
            for batch in batches(self.data.select_columns([self.name])):
                for chunk in batch.column(self.name).chunks:
                    yield chunk if chunk.type == self.type else chunk.cast(self.type)
        except Exception as error:
            self.failures.append(error)
            raise


@contextmanager
def _unwrapped(columns: Iterable[_Column]) -> Iterator[None]:
    """Context in which a column that cannot be read says so itself; DuckDB would put it its way."""
    try:
        yield
    except UserError:
        for column in columns:
            for error in column.failures:
                raise error from None
        raise


def _sorted(
    data: Dataset, writes: Sequence[Write], ids: Sequence[pa.Array], counts: Sequence[int]
) -> Iterator[pa.RecordBatch]:
    """User, item and number of all rows, by user and number."""
    import ray

    known: list[ObjectRef[Any]] = [ray.put(some) for some in ids]
    starts = np.cumsum([0, *counts[:-1]])

    def number(batch: pa.Table) -> pa.Table:
        user, item = (
            pc.index_in(write(batch.column(name)), value_set=ray.get(some))
            for name, write, some in zip(_IDS, writes, known, strict=True)
        )
        row = starts[batch.column("file").to_numpy()] + batch.column("row").to_numpy()
        return pa.table({"user": user, "item": item, "row": pa.array(row)})

    numbered = data.map_batches(number, batch_size=None, batch_format="pyarrow")
    for table in batches(numbered.sort(["user", "row"])):
        if any(column.null_count for column in table.columns):
            raise RuntimeError("the cluster gave ids that were not among those that it gave before")
        yield from table.to_batches()


def _by_time(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    places: NDArray[np.int64],
    times: Times,
    scratch: Scratch,
) -> NDArray[np.int64 | np.float64]:
    """Bring the interactions of each user into the order of time; gives their moments."""
    moments = scratch.array(len(users), times.values.dtype)
    for span in spans_of_users(users):
        values = times.values[places[span]]
        order = np.lexsort((values, users[span]))
        moments[span] = values[order]
        items[span] = items[span][order]
    return moments

"""Interactions that a Ray cluster reads, numbers and sorts, where one machine has no space to.

Each file is read by one of the nodes, and the rows stay in the cluster, on the disks of all nodes
together (Ray Data). What comes here is what the data set is made of: the ids, and 28 bytes for each
interaction, in files that are mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmsr.data.importers.bounded.duck import connected
from mmsr.data.importers.bounded.filters import spans_of_users
from mmsr.data.importers.bounded.ordering import Ordered, number_ids
from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.data.importers.foreign.parts import Parts
from mmsr.data.importers.readers.rows import Rows
from mmsr.data.importers.readers.tables import choose, empty
from mmsr.data.importers.sources import Table
from mmsr.data.importers.times import Times, as_times
from mmsr.errors import UserError

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.data import Dataset

_IDS = ("user_id", "item_id")
_COLUMNS = (*_IDS, "timestamp")
_Write = Callable[[pa.Array], pa.Array]


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
        return Distributed((table,), str(table))
    raise UserError(
        f"{table.shown}: a cluster reads CSV, TSV, JSONL and Parquet: give such files by "
        "--interactions, or leave --address out"
    )


@dataclass(frozen=True)
class Distributed(Parts):
    """Files of interactions that a cluster reads, numbers and sorts; see `bounded.ordering`."""

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
        with _explained(self.shown):
            data = _read(self, {name: (own, kinds[own]) for name, own in given.items()})
            counts = _count_rows(data, len(self.files))
            self.note_rows(counts)
            n_rows = sum(counts)
            if not n_rows:
                raise empty(Path(self.shown))
            view = {name: _Column(data, name, kinds[own], n_rows) for name, own in given.items()}
            times = as_times(view["timestamp"], rows, scratch)
            with connected(scratch) as database:
                numbers = [number_ids(database, view[name], name, rows) for name in _IDS]
            writes, (user_ids, item_ids) = zip(*numbers, strict=True)
            found = _sorted(data, writes, (user_ids, item_ids), counts)
            kinds_here = {"user": np.int32, "item": np.int32, "row": np.int64}
            users, items, places = scratch.arrays(found, kinds_here)
        if len(users) != n_rows:
            raise RuntimeError(f"rows were lost: {n_rows} became {len(users)}")
        moments = _by_time(users, items, places, times, scratch)
        return n_rows, Ordered(users, items, replace(times, values=moments), user_ids, item_ids)


class _Refused(Exception):
    """What a node has to say as a UserError, which would join the lines that Ray Data adds."""


@dataclass(frozen=True)
class _Rows(Rows):
    """Rows of several files; an error names the file and its line or row."""

    table: Parts | None = None

    def error(self, row: int, problem: str, remedy: str) -> UserError:
        place, counted = cast(Parts, self.table).place(row)
        return UserError(f"{place} {problem}: {remedy}{f' {counted}' if counted else ''}")


@dataclass(frozen=True)
class _Column:
    """A column that lies in the cluster; see `bounded.parts.Column`."""

    data: Dataset
    name: str
    type: pa.DataType
    n_rows: int

    def __len__(self) -> int:
        return self.n_rows

    @property
    def chunks(self) -> Iterator[pa.Array]:
        """The parts, in the order of rows."""
        for batch in _batches(self.data.select_columns([self.name])):
            for chunk in batch.column(self.name).chunks:
                yield chunk if chunk.type == self.type else chunk.cast(self.type)


@contextmanager
def _explained(shown: str) -> Iterator[None]:
    """Context in which the cluster works quietly, and errors of its nodes are raised as such."""
    from ray.data import DataContext
    from ray.exceptions import RayError

    context = DataContext.get_current()
    before = context.enable_progress_bars, context.execution_options.preserve_order
    context.enable_progress_bars, context.execution_options.preserve_order = False, True
    try:
        yield
    except (RayError, _Refused) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, _Refused):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is not None:
            raise UserError(str(cause.args[0]).partition("\n")[0]) from None
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UserError(
            f"{shown}: the cluster cannot read or sort it: {reason[:200]}; all nodes must see the "
            "files under the same paths, and have space in Ray's temporary folder"
        ) from None
    finally:
        context.enable_progress_bars, context.execution_options.preserve_order = before


def _read(table: Parts, given: Mapping[str, tuple[str, pa.DataType]]) -> Dataset:
    """All rows in the cluster, each with the number of its file and its own within that."""
    import ray.data

    kinds = dict(given.values())

    def rows_of(number: int) -> Iterator[pa.Table]:
        start = 0
        for piece in table.part(table.files[number], kinds):
            columns = {name: piece.column(own) for name, (own, _) in given.items()}
            end = start + piece.num_rows
            columns["file"] = pa.array(np.full(piece.num_rows, number, dtype=np.int32))
            yield pa.table(columns | {"row": pa.array(np.arange(start, end))})
            start = end

    def read(batch: pa.Table) -> Iterator[pa.Table]:
        try:
            for number in batch.column("file").to_pylist():
                yield from rows_of(number)
        except UserError as error:
            raise _Refused(str(error)) from None

    files = [{"file": number} for number in range(len(table.files))]
    named = ray.data.from_items(files, override_num_blocks=len(files))
    data: Dataset = named.map_batches(read, batch_size=1, batch_format="pyarrow").materialize()
    return data


def _count_rows(data: Dataset, n_files: int) -> list[int]:
    counts = np.zeros(n_files, dtype=np.int64)
    for batch in _batches(data.select_columns(["file"])):
        counts += np.bincount(batch.column("file").to_numpy(), minlength=n_files)
    return counts.tolist()


def _sorted(
    data: Dataset, writes: Sequence[_Write], ids: Sequence[pa.Array], counts: Sequence[int]
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
    for table in _batches(numbered.sort(["user", "row"])):
        yield from table.to_batches()


def _batches(data: Dataset) -> Iterator[pa.Table]:
    """The rows of a data set in order, as they lie in blocks; none for an empty block."""
    for batch in data.iter_batches(batch_size=None, batch_format="pyarrow"):
        table = cast(pa.Table, batch)
        if table.num_rows:
            yield table


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

"""Rows of files that the nodes of a Ray cluster read, by Ray Data."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from mmsr import paths
from mmsr.data.importers.foreign.parts import Parts
from mmsr.errors import UserError

if TYPE_CHECKING:
    from ray.data import Dataset

_SHARED = "all nodes must see the files under the same paths"


class _Refused(Exception):
    """What a node has to say as a UserError, which would join the lines that Ray Data adds."""


@contextmanager
def explained(shown: str) -> Iterator[None]:
    """Context in which the cluster works quietly, and errors of its nodes are raised as such.

    Parameters
    ----------
    shown : what is read, for errors.

    Raises
    ------
    UserError : a node refuses a file, or the cluster cannot do its work.
    """
    from ray.data import DataContext
    from ray.data.exceptions import ExecutionTimeoutError
    from ray.exceptions import RayError

    context = DataContext.get_current()
    before = context.enable_progress_bars, context.execution_options.preserve_order
    context.enable_progress_bars, context.execution_options.preserve_order = False, True
    try:
        yield
    except (RayError, ExecutionTimeoutError, _Refused) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, _Refused):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is not None:
            raise UserError(str(cause.args[0]).partition("\n")[0]) from None
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UserError(
            f"{shown}: the cluster cannot read or sort it: {reason[:200]}; {_SHARED}, and have "
            "free CPUs, and space in Ray's temporary folder"
        ) from None
    finally:
        context.enable_progress_bars, context.execution_options.preserve_order = before


def read_rows(table: Parts, given: Mapping[str, tuple[str, pa.DataType]]) -> Dataset:
    """All rows in the cluster, each with the number of its file and its own within that.

    Parameters
    ----------
    table : the files.
    given : column in the files and its type, by the name that it gets.
    """
    import ray.data

    kinds = dict(given.values())
    home = paths.named_home()
    base = None if table.base is None else table.base.absolute()
    # A node works in another folder.
    whole = replace(table, files=tuple(path.absolute() for path in table.files), base=base)

    def rows_of(number: int) -> Iterator[pa.Table]:
        start = 0
        path = whole.files[number]
        if not path.exists():
            raise UserError(
                f"the node {socket.gethostname()} cannot see {path}: {_SHARED}; or leave "
                "--address out"
            )
        for piece in whole.part(path, kinds):
            columns = {name: piece.column(own) for name, (own, _) in given.items()}
            end = start + piece.num_rows
            columns["file"] = pa.array(np.full(piece.num_rows, number, dtype=np.int32))
            yield pa.table(columns | {"row": pa.array(np.arange(start, end))})
            start = end

    def read(batch: pa.Table) -> Iterator[pa.Table]:
        os.environ["MMSR_HOME"] = home  # JSON lines go through a folder in it
        try:
            for number in batch.column("file").to_pylist():
                yield from rows_of(number)
        except UserError as error:
            raise _Refused(str(error)) from None

    files = [{"file": number} for number in range(len(table.files))]
    named = ray.data.from_items(files, override_num_blocks=len(files))
    data: Dataset = named.map_batches(read, batch_size=1, batch_format="pyarrow").materialize()
    return data


def count_rows(data: Dataset, n_files: int) -> list[int]:
    """Rows of each file; they must come one file after the other, each from its first row on.

    Parameters
    ----------
    data : as `read_rows` makes it.
    n_files : number of files.
    """
    counts = np.zeros(n_files, dtype=np.int64)
    last = 0
    for batch in batches(data.select_columns(["file", "row"])):
        files, rows = (batch.column(name).to_numpy() for name in ("file", "row"))
        new = np.bincount(files, minlength=n_files)
        expected = np.arange(len(rows)) + np.repeat(counts - np.cumsum(new) + new, new)
        if files[0] < last or np.any(np.diff(files) < 0) or np.any(rows != expected):
            raise RuntimeError("the cluster gave rows in another order")
        counts += new
        last = files[-1]
    return counts.tolist()


def batches(data: Dataset) -> Iterator[pa.Table]:
    """The rows of a data set in order, as they lie in blocks; none for an empty block."""
    for batch in data.iter_batches(batch_size=None, batch_format="pyarrow"):
        table = cast(pa.Table, batch)
        if table.num_rows:
            yield table

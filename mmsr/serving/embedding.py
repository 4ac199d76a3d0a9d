"""Vectors of all items and users as files, for searches by nearest neighbours elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from mmsr.data.exporters.folder import folder_to_make, replacing
from mmsr.data.progress import Reporter
from mmsr.data.storage import vector_column
from mmsr.errors import UserError, shown
from mmsr.provenance import provenance
from mmsr.serving.histories import FlatHistories
from mmsr.serving.options import Options
from mmsr.serving.recommender import Recommender
from mmsr.serving.users_file import all_users

RECORD = "mmsr-vectors.json"
_FILES = {
    RECORD,
    *(f"{kind}{ending}" for kind in ("items", "users") for ending in (".parquet", ".npy")),
    *(f"{kind}_ids.txt" for kind in ("item", "user")),
}
_ITEMS_ALONE = "the model's source holds no users: user vectors are left out"


@dataclass(frozen=True)
class Embedded:
    """What was written."""

    items: int
    users: int
    """Users with a vector."""
    empty: int
    """Users without a history, who have none."""
    width: int


def check_output(output: str, *, force: bool) -> Path:
    """Check that vectors can be written to a folder.

    Parameters
    ----------
    output : the folder, as the user named it; it may be missing or empty.
    force : whether earlier vectors may be replaced.

    Returns
    -------
    The folder, links followed.

    Raises
    ------
    UserError : as `mmsr.data.exporters.folder.folder_to_make`, or something is there that must not
        be replaced.
    """
    target, found = folder_to_make(output)
    if not found:
        return target
    if RECORD not in found or found - _FILES:
        raise UserError(f"{shown(output)} holds other things than vectors: name a new folder")
    if not force:
        raise UserError(
            f"{shown(output)} holds earlier vectors: replace them with --force, or name another "
            "folder"
        )
    return target


def write_vectors(recommender: Recommender, folder: Path, reporter: Reporter) -> Embedded:
    """Write the vectors of all items, and of all users that have a history.

    Parameters
    ----------
    recommender : the model, and its users.
    folder : what `check_output` has returned; it is there when all is written, and not before.
    reporter : shows progress.

    Raises
    ------
    UserError : the folder cannot be written, or a vector is not finite.
    """
    options = Options(empty="skipped")
    with replacing(folder) as new:
        with reporter.stage("vectors of items"):
            vectors = recommender.item_vectors()
            n_items, width = vectors.shape
            with _writing(new, "item", n_items, width) as write:
                write(recommender.catalogue.item_ids, vectors)
        n_users = n_empty = 0
        if recommender.users is None:
            reporter.note(_ITEMS_ALONE)
        else:
            reads = [block.read for block in all_users(recommender, options)]
            n_users, n_empty = sum(len(r.rows) for r in reads), sum(r.empty for r in reads)
            with (
                reporter.stage("vectors of users", n_users) as advance,
                _writing(new, "user", n_users, width) as write,
            ):
                for block in all_users(recommender, options):
                    ids = block.keys.take(pa.array(block.read.rows))
                    write(ids, _user_vectors(recommender, block.read.histories, ids, advance))
        done = Embedded(n_items, n_users, n_empty, width)
        record = _record(recommender, done)
        (new / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return done


def _user_vectors(
    recommender: Recommender,
    histories: FlatHistories,
    ids: pa.Array,
    advance: Callable[[int], None],
) -> NDArray[np.float32]:
    def name_of(row: int) -> str:
        return f"user {shown(ids[row].as_py())}"

    return recommender.ranker.vectors(histories, advance, name_of)


class _Writer:
    """Writes ids and vectors, block by block, to the three files of one kind."""

    def __init__(self, array: BinaryIO, table: pa.parquet.ParquetWriter, text: TextIO) -> None:
        self.array, self.table, self.text = array, table, text

    def __call__(self, ids: pa.Array, vectors: NDArray[np.float32]) -> None:
        self.array.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        columns = [ids.cast(pa.string()), vector_column(vectors)]
        self.table.write_table(pa.Table.from_arrays(columns, schema=self.table.schema))
        if pc.any(pc.match_substring_regex(ids, "[\r\n]")).as_py():
            raise UserError("an id has a line break, so ids cannot be written as lines: rename it")
        self.text.writelines(f"{one}\n" for one in ids.to_pylist())


@contextmanager
def _writing(folder: Path, kind: str, n: int, width: int) -> Iterator[_Writer]:
    schema = pa.schema({f"{kind}_id": pa.string(), "vector": pa.list_(pa.float32(), width)})
    with ExitStack() as stack:
        table = stack.enter_context(pa.parquet.ParquetWriter(folder / f"{kind}s.parquet", schema))
        text = stack.enter_context((folder / f"{kind}_ids.txt").open("w", encoding="utf-8"))
        # appended, not mapped: on a full disk a write raises, and a map ends the process
        array = stack.enter_context((folder / f"{kind}s.npy").open("wb"))
        header = {"descr": "<f4", "fortran_order": False, "shape": (n, width)}
        np.lib.format.write_array_header_1_0(array, header)
        yield _Writer(array, table, text)


def _record(recommender: Recommender, done: Embedded) -> dict[str, Any]:
    return {
        "model": recommender.origin,
        "dataset": recommender.config.dataset,
        "items": done.items,
        "users": done.users,
        "width": done.width,
        "score": "inner product of a user's and an item's vector; items of the history are not "
        f"left out (training.seen: {recommender.config.training.seen})",
        "histories": "of users in development data (train + validation); test stays closed",
        "config": recommender.config.to_dict(),
        **provenance(),
    }

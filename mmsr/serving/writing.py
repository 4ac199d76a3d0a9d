"""Recommendations for many users as a Parquet file, which is written block by block."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from mmsr.data.exporters.folder import drafting
from mmsr.data.progress import Reporter
from mmsr.errors import UserError, reason_of, shown
from mmsr.provenance import provenance
from mmsr.serving.options import Options
from mmsr.serving.ranker import Ranked
from mmsr.serving.recommender import Recommender
from mmsr.serving.users_file import USER, Block

Blocks = Callable[[], Iterator[Block]]


@dataclass(frozen=True)
class Counts:
    """What became of the users that recommendations were asked for."""

    ranked: int = 0
    rows: int = 0
    """Recommendations that were written."""
    unknown: int = 0
    """Unknown users, or unknown items of histories, that were skipped."""
    empty: int = 0
    """Users without any known item in their history, who were left out."""

    def plus(self, block: Block, rows: int) -> Counts:
        """These counts and those of one more block, with the recommendations of it."""
        read = block.read
        return Counts(
            self.ranked + len(read.rows),
            self.rows + rows,
            self.unknown + read.unknown,
            self.empty + read.empty,
        )


def write_recommendations(
    recommender: Recommender,
    blocks: Blocks,
    output: Path,
    options: Options,
    key: str,
    reporter: Reporter,
) -> Counts:
    """Rank items for many users, and write them as they are ranked.

    All users are read once before the first is ranked, so what is refused is refused at once.

    Parameters
    ----------
    recommender : ranks the items.
    blocks : reads the users from the beginning, block by block; it is called twice.
    output : the file; it is there when all is written, and not before.
    options : what is recommended.
    key : name of the column that names users, `user_id` or `history`.
    reporter : shows progress.

    Raises
    ------
    UserError : a user is refused, or the file cannot be written.
    """
    schema = _schema(recommender, options, key)
    counts = Counts()
    with replacing_file(output) as draft:
        with reporter.stage("reading users"):
            total = sum(len(block.read.rows) for block in blocks())
        with (
            reporter.stage("ranking items for users", total) as advance,
            pa.parquet.ParquetWriter(draft, schema) as writer,
        ):
            for block in blocks():
                ranked = recommender.ranker.rank(block.read.histories, options, advance)
                table = _table(recommender, block, ranked, schema)
                writer.write_table(table)
                counts = counts.plus(block, table.num_rows)
    return counts


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Context with the path of a draft that replaces the file unless the block raises.

    Parameters
    ----------
    path : the file; its folder is made where it is missing.

    Raises
    ------
    UserError : it cannot be written.
    """
    try:
        if path.is_dir():
            raise UserError(f"{shown(str(path))} is a folder: name a file")
        with drafting(path) as folder:
            draft = folder / f"new{path.suffix}"
            yield draft
            draft.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write {shown(str(path))}: {reason_of(error)}; name a file in a folder with "
            "space that you can write to"
        ) from None


def _schema(recommender: Recommender, options: Options, key: str) -> pa.Schema:
    about = {
        "model": recommender.origin,
        "dataset": recommender.config.dataset,
        **asdict(options),
        "seen": options.seen or recommender.config.training.seen,
        **provenance(),
    }
    return pa.schema(
        {
            key: pa.string() if key == USER else pa.int64(),
            "rank": pa.int32(),
            "item_id": pa.string(),
            "score": pa.float32(),
        },
        metadata={"mmsr": json.dumps(about)},
    )


def _table(recommender: Recommender, block: Block, ranked: Ranked, schema: pa.Schema) -> pa.Table:
    rows, places = np.nonzero(ranked.items >= 0)
    columns: Iterable[pa.Array] = (
        block.keys.take(pa.array(block.read.rows[rows])),
        pa.array(places + 1),
        recommender.catalogue.ids_of(ranked.items[rows, places]),
        pa.array(ranked.scores[rows, places]),
    )
    arrays = [array.cast(field.type) for array, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)

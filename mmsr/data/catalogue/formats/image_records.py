"""The image features of Amazon 2014: records of an id of 10 characters and 4,096 numbers."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmsr.data.catalogue.formats.lines import RawFile
from mmsr.data.catalogue.formats.tables import REPEATED, Table, Tally, writing
from mmsr.data.importers.features import UNUSED
from mmsr.data.importers.vectors import LARGEST
from mmsr.data.progress import Reporter
from mmsr.errors import shown

WIDTH = 4096
_ID = 10
RECORD = _ID + 4 * WIDTH
"""Bytes of a record."""
_ASIN = re.compile(rb"[0-9A-Za-z]{10}")
_BATCH = 256
NOT_FINITE = "with numbers that are not finite"


def write_vectors(folder: Path, raw: RawFile, known: Collection[str], reporter: Reporter) -> Table:
    """Write the vectors of items that occur as a table of features.

    A record is an id of 10 ASCII letters and digits and 4,096 numbers, float32 little-endian. A
    record of an item without interactions, or of an item that an earlier record holds, is left
    out. So is a vector with a number that is not finite or beyond 1e12: that item lacks the
    modality.

    Parameters
    ----------
    folder : where to write `image.parquet`.
    raw : the file of records.
    known : ids of the items that occur.
    reporter : shows the progress.

    Raises
    ------
    UserError : a record is cut or its id is none, or no record is of a known item; or the table
        cannot be written.
    """
    path, tally, seen = folder / "image.parquet", Tally(raw), set[str]()
    schema = pa.schema({"item_id": pa.string(), "vector": pa.list_(pa.float32(), WIDTH)})

    def place() -> str:
        return f"record {tally.read + 1}"

    with writing(path, schema, _BATCH) as add, raw.opened(reporter, place) as (file, advance):
        while record := file.read(RECORD):
            asin = record[:_ID]
            if len(record) < RECORD:
                raise raw.error(f"{place()} is cut: it has {len(record):,} of {RECORD:,} bytes")
            if not _ASIN.fullmatch(asin):
                raise raw.error(f"{place()} begins with {shown(asin)}, which is no id")
            tally.read += 1
            if tally.read % _BATCH == 0:
                advance()
            item = asin.decode("ascii")
            vector = np.frombuffer(record, "<f4", offset=_ID)
            if item not in known:
                tally.dropped[UNUSED] += 1
            elif item in seen:
                tally.dropped[REPEATED] += 1
            elif not (np.abs(vector) <= LARGEST).all():  # False for NaN
                tally.dropped[NOT_FINITE] += 1
            else:
                add((item, vector))
                tally.kept += 1
                seen.add(item)
    if not tally.kept:
        raise raw.error(f"none of its {tally.read:,} vectors is of an item with interactions")
    return tally.table(path)

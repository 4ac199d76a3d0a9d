"""Parquet files that exports share: interactions, items, and vectors by modality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmsr.data.dataset import Dataset, FeatureTable
from mmsr.data.exporters.histories import PARTS, ExportedHistories, slices
from mmsr.data.progress import Advance
from mmsr.data.storage import column

INTERACTIONS, ITEMS, FEATURES = "interactions.parquet", "items.parquet", "features"
_NUMBERS = 1 << 22
"""Numbers of vectors that are written at once."""


def write_interactions(
    path: Path, histories: ExportedHistories, more: Mapping[str, NDArray[Any]], advance: Advance
) -> None:
    """Write a table of user_id, item_id, further columns and split, in the order of histories.

    Parameters
    ----------
    path : the file.
    histories : what to write.
    more : the further columns, `[n]` each.
    advance : called with the number of rows that were written.
    """
    names = pa.array(PARTS)
    writer = None
    try:
        for rows in histories.rows():
            table = pa.table(
                {
                    "user_id": histories.user_ids.take(pa.array(histories.users[rows])),
                    "item_id": histories.item_ids.take(pa.array(histories.items[rows])),
                    **{name: values[rows] for name, values in more.items()},
                    "split": names.take(pa.array(histories.parts[rows])),
                }
            )
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            advance(table.num_rows)
    finally:
        if writer is not None:
            writer.close()


def write_items(folder: Path, dataset: Dataset) -> None:
    """Write the ids and the metadata of all items.

    Parameters
    ----------
    folder : folder of the export.
    dataset : has the items.
    """
    pq.write_table(dataset.item_table, folder / ITEMS)


def write_features(folder: Path, dataset: Dataset) -> None:
    """Write a table of item_id and vector for each modality.

    Parameters
    ----------
    folder : folder of the export.
    dataset : has the vectors.
    """
    for modality in dataset.modalities:
        table = dataset.features(modality)
        path = folder / FEATURES / f"{modality}.parquet"
        path.parent.mkdir(exist_ok=True)
        schema = pa.schema({"item_id": pa.large_string(), "vector": pa.list_(pa.float32())})
        ids = column(dataset.item_table, "item_id")
        with pq.ParquetWriter(path, schema) as writer:
            for part in vector_slices(table):
                columns = {
                    "item_id": ids.take(pa.array(table.items[part])),
                    "vector": list_of(table.vectors[part]),
                }
                writer.write_table(pa.table(columns, schema))


def features_guide(dataset: Dataset) -> str:
    """What `write_features` writes, as a line of a list in Markdown; empty if it is nothing.

    Parameters
    ----------
    dataset : has the vectors.
    """
    return f"- `{FEATURES}/MODALITY.parquet`: item_id, vector\n" if dataset.modalities else ""


def vector_slices(table: FeatureTable) -> list[slice]:
    """Consecutive slices of a table of vectors, each of a bounded amount of numbers."""
    return list(slices(len(table.items), max(_NUMBERS // table.vectors.shape[1], 1)))


def list_of(rows: NDArray[Any]) -> pa.ListArray:
    """A column with the rows of a matrix as lists."""
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(rows.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.reshape(-1)))

"""What a recommender knows of items and users: their ids, titles and histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mmsr.data import Dataset
from mmsr.data.storage import column
from mmsr.serving.histories import FlatHistories


@dataclass(frozen=True)
class Catalogue:
    """The items that a model scores, by item index."""

    item_ids: pa.StringArray
    """Original ids, I of them."""
    titles: pa.StringArray | None = None
    """Titles, null where an item has none; None where no titles are known."""
    counts: NDArray[np.int64] | None = None
    """Interactions of each item in what the model was trained on, 0 for new items; None where they
    are not known."""

    @classmethod
    def of(cls, dataset: Dataset, counts: NDArray[np.int64] | None = None) -> Catalogue:
        """The catalogue of a data set.

        Parameters
        ----------
        dataset : a prepared data set.
        counts : as the field.
        """
        table = dataset.item_table
        titles = column(table, "title") if "title" in table.column_names else None
        return cls(column(table, "item_id"), titles, counts)

    def __len__(self) -> int:
        return len(self.item_ids)

    def find(self, ids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
        """Indices of items by their ids, int64; -1 for ids that are not in the catalogue."""
        return _find(self._index, ids)

    def titles_of(self, items: NDArray[np.integer]) -> list[str | None]:
        """Titles of items by index; None for those without one."""
        return [None] * len(items) if self.titles is None else _take(self.titles, items).to_pylist()

    def ids_of(self, items: NDArray[np.integer]) -> pa.Array:
        """Original ids of items by index."""
        return _take(self.item_ids, items)

    @property
    def n_new(self) -> int:
        """Number of items that the model was not trained on."""
        return 0 if self.counts is None else int((self.counts == 0).sum())

    @cached_property
    def _index(self) -> pd.Index:
        return _index_of(self.item_ids)


@dataclass(frozen=True)
class Users:
    """The users of a data set, by user index."""

    user_ids: pa.StringArray
    """Original ids, U of them."""
    histories: FlatHistories
    """What each interacted with in development data; it may be empty."""

    @classmethod
    def of(cls, dataset: Dataset) -> Users:
        """The users of a data set; test stays closed."""
        return cls(column(dataset.user_table, "user_id"), FlatHistories.of_users(dataset))

    def __len__(self) -> int:
        return len(self.user_ids)

    def find(self, ids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
        """Indices of users by their ids, int64; -1 for unknown ones."""
        return _find(self._index, ids)

    @cached_property
    def _index(self) -> pd.Index:
        return _index_of(self.user_ids)


def _index_of(ids: pa.Array) -> pd.Index:
    index: pd.Index = pd.Index(ids.to_numpy(zero_copy_only=False), dtype=object)
    return index


def _find(index: pd.Index, ids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
    values = ids.to_numpy(zero_copy_only=False) if isinstance(ids, pa.Array) else ids
    return index.get_indexer(pd.Index(values, dtype=object)).astype(np.int64)


def _take(values: pa.Array, rows: NDArray[np.integer]) -> pa.Array:
    return values.take(pa.array(np.asarray(rows, dtype=np.int64)))

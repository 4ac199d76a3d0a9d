"""Histories to recommend for, in one flat array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsr.data import Dataset
from mmsr.data.dataset import flat
from mmsr.data.splits import padded, seen_before


@dataclass(frozen=True)
class FlatHistories:
    """Histories one after the other, and the user of each.

    Attributes
    ----------
    items : int32 [n_interactions], item indices.
    starts, ends : int64 [n], where each history starts and ends in `items`.
    users : int64 [n], index of the user in the data set; -1 where it is not known.
    """

    items: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    users: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    @classmethod
    def of(cls, items: NDArray[np.int32], lengths: NDArray[np.int64]) -> FlatHistories:
        """Histories of users that are not known.

        Parameters
        ----------
        items : int32 [n_interactions], all histories one after the other, oldest items first.
        lengths : int64 [n], how many items each has.
        """
        ends = np.cumsum(lengths, dtype=np.int64)
        return cls(items, ends - lengths, ends, np.full(len(ends), -1, dtype=np.int64))

    @classmethod
    def of_users(cls, dataset: Dataset) -> FlatHistories:
        """The histories of a data set's users in its development data; test stays closed.

        Parameters
        ----------
        dataset : a prepared data set.
        """
        items, offsets = flat(dataset.table)
        return cls(items, offsets[:-1], offsets[1:], np.arange(dataset.n_users, dtype=np.int64))

    def lengths(self, latest: int | None = None) -> NDArray[np.int64]:
        """Length of each history, int64 `[n]`, cut to its `latest` items."""
        lengths = self.ends - self.starts
        return lengths if latest is None else np.minimum(lengths, latest)

    def select(self, rows: NDArray[np.integer] | slice) -> FlatHistories:
        """Some of the histories, by index; the flat array is shared."""
        return FlatHistories(self.items, self.starts[rows], self.ends[rows], self.users[rows])

    def batch(self, rows: NDArray[np.integer], max_history: int) -> NDArray[np.int64]:
        """The latest items of the histories `rows` `[B]`: int64 `[B, L]`, -1 behind the end."""
        ends = self.ends[rows]
        return padded(self.items, np.maximum(self.starts[rows], ends - max_history), ends)

    def seen(
        self, rows: NDArray[np.integer], latest: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All items of the histories `rows` `[B]`, or the `latest`: see `seen_before`."""
        return seen_before(self.items, self.starts[rows], self.ends[rows], latest)

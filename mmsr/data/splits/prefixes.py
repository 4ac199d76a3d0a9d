"""The (history, target) examples that histories are divided into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PADDING = -1


@dataclass(frozen=True)
class Prefixes:
    """A set of (history, target) examples, as views on one flat array of histories.

    Attributes
    ----------
    items : int32 [n_interactions], all histories one after the other, item indices from 0.
    starts : int64 [n], where the example's user begins in `items`.
    targets : int64 [n], position of the target in `items`; its history is
        ``items[starts:targets]`` and never empty.
    users : int32 [n], user index of each example.
    """

    items: NDArray[np.int32]
    starts: NDArray[np.int64]
    targets: NDArray[np.int64]
    users: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.targets)

    def lengths(self, max_history: int) -> NDArray[np.int64]:
        """Length of each history in a batch, int64 `[n]`, cut to its latest `max_history` items."""
        lengths: NDArray[np.int64] = np.minimum(self.targets - self.starts, max_history)
        return lengths

    def n_targets(self, rows: NDArray[np.integer]) -> int:
        """Number of targets of the examples `rows`: one each."""
        return len(rows)

    def target_items(self) -> NDArray[np.int64]:
        """Item index of each target."""
        return self.items[self.targets].astype(np.int64)

    def target_counts(self, n_items: int) -> NDArray[np.int64]:
        """How often each item is a target, int64 `[n_items]`."""
        counts: NDArray[np.int64] = np.bincount(self.target_items(), minlength=n_items)
        return counts

    def batch(
        self, rows: NDArray[np.integer], max_history: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Gather the examples `rows` as one padded matrix.

        Parameters
        ----------
        rows : int64 [B], indices of examples.
        max_history : latest items of each history to take.

        Returns
        -------
        histories : int64 [B, L], oldest first, padded with -1 on the right; L is the longest here.
        target_items : int64 [B].
        """
        ends = self.targets[rows]
        begins = np.maximum(self.starts[rows], ends - max_history)
        return padded(self.items, begins, ends), self.items[ends].astype(np.int64)

    def seen(
        self, rows: NDArray[np.integer], latest: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All items before the targets of the examples `rows` `[B]`, at most the `latest`.

        Returns
        -------
        Places in `rows` and items, both int64 `[S]`, one pair for each interaction.
        """
        return seen_before(self.items, self.starts[rows], self.targets[rows], latest)

    def select(self, rows: NDArray[np.int64]) -> Prefixes:
        """Select the examples of indices `rows`, int64 `[m]`; the flat array is shared."""
        return Prefixes(self.items, self.starts[rows], self.targets[rows], self.users[rows])


def padded(
    items: NDArray[np.int32], begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Gather parts of flat histories as one matrix.

    Parameters
    ----------
    items : int32 [n_interactions], flat histories; at least one item if there is a part.
    begins, ends : int64 [B], where each part starts and ends in `items`.

    Returns
    -------
    int64 [B, L], oldest first, padded with -1 on the right; L is the length of the longest part.
    """
    lengths = ends - begins
    columns = np.arange(lengths.max(initial=0))
    histories = items.take(begins[:, None] + columns, mode="clip").astype(np.int64)
    histories[columns >= lengths[:, None]] = PADDING
    return histories


def seen_before(
    items: NDArray[np.int32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    latest: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the items of parts of flat histories.

    Parameters
    ----------
    items : int32 [n_interactions], flat histories.
    starts, ends : int64 [B], where each part starts and ends in `items`.
    latest : most items of each part, the latest ones; None takes all.

    Returns
    -------
    Number of the part and item, both int64 `[S]`, one pair for each interaction.
    """
    lengths = ends - starts
    if latest is not None:
        lengths = np.minimum(lengths, latest)
    starts = ends - lengths
    owners = np.repeat(np.arange(len(ends)), lengths)
    within = np.arange(len(owners)) - (lengths.cumsum() - lengths)[owners]
    return owners, items[starts[owners] + within].astype(np.int64)


def prefixes_between(
    items: NDArray[np.int32],
    offsets: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> Prefixes:
    """Examples whose targets lie at positions ``first <= position < last`` of each history.

    Position 0 has no history and is never a target.

    Parameters
    ----------
    items : int32 [n_interactions], flat histories.
    offsets : int64 [n_users + 1], where each history starts and ends in `items`.
    first, last : int64 [n_users], positions within the history.
    """
    first = np.maximum(first, 1)
    counts = np.maximum(last - first, 0)
    users = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    before = np.cumsum(counts) - counts
    targets = np.arange(len(users))
    targets += (offsets[:-1] + first - before)[users]
    return Prefixes(items, offsets[:-1][users], targets, users)


def alternating(first: NDArray[np.int64], rest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which elements of flat histories are among the first of theirs, bool `[n_interactions]`.

    Parameters
    ----------
    first, rest : int64 `[n_users]`, how many elements of each history are, and how many are not.
    """
    marks = np.tile([True, False], len(first))
    return np.repeat(marks, np.stack([first, rest], axis=1).reshape(-1))


def items_before(
    items: NDArray[np.int32], offsets: NDArray[np.int64], ends: NDArray[np.int64], n_items: int
) -> NDArray[np.bool_]:
    """Which items occur in the first part of some history, bool [n_items].

    Parameters
    ----------
    items : int32 [n_interactions], flat histories.
    offsets : int64 [n_users + 1], where each history starts and ends in `items`.
    ends : int64 [n_users], length of the first part of each history.
    n_items : size of the catalogue.
    """
    known = np.zeros(n_items, dtype=bool)
    known[items[alternating(ends, np.diff(offsets) - ends)]] = True
    return known

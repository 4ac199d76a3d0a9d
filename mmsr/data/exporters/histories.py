"""The histories that an export writes: ids, moments and parts, user by user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmsr.data.dataset import Dataset, flat
from mmsr.data.held_out import open_test_table
from mmsr.data.splits import (
    BY_MOMENT,
    Prefixes,
    targets_between,
)
from mmsr.data.storage import column, joined, moments_of
from mmsr.errors import UserError

PARTS = ("train", "valid", "test")
"""Names of the parts, as exports have them."""
CHUNK = 1 << 17
"""Rows that are written at once."""


@dataclass(frozen=True)
class ExportedHistories:
    """All interactions of an export, user by user, in the order of time.

    Attributes
    ----------
    dataset : where they are from.
    items : int32 [n], item indices.
    offsets : int64 [n_users + 1], where each user's history starts and ends.
    n_valid, n_test : int64 [n_users], how many of the latest are validation and test.
    moments : int64, float64 or datetime64 [n]; positions in the histories, counted from 0, where
        the data set has no moments.
    has_moments : whether it has.
    with_test : whether test is among the interactions; if not, `n_test` is 0.
    """

    dataset: Dataset
    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    n_valid: NDArray[np.int64]
    n_test: NDArray[np.int64]
    moments: NDArray[Any]
    has_moments: bool
    with_test: bool

    @cached_property
    def user_ids(self) -> pa.Array:
        """Original ids by user index."""
        return column(self.dataset.user_table, "user_id")

    @cached_property
    def item_ids(self) -> pa.Array:
        """Original ids by item index."""
        return column(self.dataset.item_table, "item_id")

    @cached_property
    def users(self) -> NDArray[np.int64]:
        """User of each interaction, int64 [n]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @cached_property
    def parts(self) -> NDArray[np.int8]:
        """Part of each interaction, int8 [n], an index into `PARTS`."""
        left = self.offsets[1:][self.users] - np.arange(len(self.items))
        is_test = left <= self.n_test[self.users]
        is_seen = left > (self.n_test + self.n_valid)[self.users]
        return np.where(is_seen, 0, np.where(is_test, 2, 1)).astype(np.int8)

    @property
    def part_names(self) -> tuple[str, ...]:
        """The parts that are exported."""
        return PARTS if self.with_test else PARTS[:2]

    @property
    def counts(self) -> dict[str, int]:
        """Number of interactions by part."""
        counts = np.bincount(self.parts, minlength=len(PARTS)).tolist()
        return dict(zip(self.part_names, counts, strict=False))

    def examples(self, part: str) -> Prefixes:
        """The (history, target) examples of a part, one of `part_names`."""
        lengths = np.diff(self.offsets)
        ends = (lengths - self.n_test - self.n_valid, lengths - self.n_test, lengths)
        place = PARTS.index(part)
        first = ends[place - 1] if place else np.zeros_like(lengths)
        return targets_between(self.dataset.protocol, self.items, self.offsets, first, ends[place])

    def rows(self) -> Iterator[slice]:
        """Consecutive chunks of the interactions."""
        return slices(len(self.items))


def slices(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Consecutive slices of up to `size` that cover `n` rows."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def check_moments(dataset: Dataset) -> None:
    """Check that the data set has the moments that an export of its protocol needs.

    Parameters
    ----------
    dataset : a prepared data set.

    Raises
    ------
    UserError : it is split at moments, and an earlier version of mmsr did not keep them.
    """
    if dataset.protocol in BY_MOMENT and moments_of(dataset.table) is None:
        raise UserError(
            f"data set {dataset.name!r} is split at moments, and the version of mmsr that imported "
            "it did not keep them: import it again with "
            f"{dataset.manifest.provenance.command(dataset.name)}"
        )


def read_histories(
    dataset: Dataset, *, why: str | None = None, recorded: Callable[[], None] = lambda: None
) -> ExportedHistories:
    """Read development data and, if there is a reason to open it, test.

    Parameters
    ----------
    dataset : a prepared data set.
    why : what test is opened for; None leaves it closed.
    recorded : called when the opening is on record.

    Raises
    ------
    UserError : test stays closed (see `open_test_table`), or the data are damaged.
    """
    if why is None:
        table, moments = dataset.table, moments_of(dataset.table)
        items, offsets = flat(table)
        n_test = np.zeros(len(offsets) - 1, dtype=np.int64)
    else:
        table, test = open_test_table(dataset, who="mmsr data export", why=why, recorded=recorded)
        (seen, starts), (later, ends) = flat(table), flat(test)
        items, offsets, n_test = joined(seen, starts, later, ends), starts + ends, np.diff(ends)
        moments = _both(moments_of(table), starts, moments_of(test), ends)
    has_moments = moments is not None
    if moments is None:
        values = np.arange(len(items)) - np.repeat(offsets[:-1], np.diff(offsets))
    else:
        values = np.asarray(moments.to_numpy(zero_copy_only=False))
    histories = ExportedHistories(
        dataset,
        items,
        offsets,
        column(table, "n_valid").to_numpy().astype(np.int64),
        n_test,
        values,
        has_moments,
        why is not None,
    )
    _check_order(histories)
    return histories


def _both(
    seen: pa.Array | None,
    starts: NDArray[np.int64],
    test: pa.Array | None,
    ends: NDArray[np.int64],
) -> pa.Array | None:
    """The moments of whole histories."""
    if seen is None or test is None:
        return None
    values = (part.to_numpy(zero_copy_only=False) for part in (seen, test))
    return pa.array(joined(next(values), starts, next(values), ends))


def _check_order(histories: ExportedHistories) -> None:
    """Check that the moments of each history do not decrease: the content hash is not about them.

    Raises
    ------
    UserError : they do.
    """
    moments, users = histories.moments, histories.users
    if ((moments[1:] < moments[:-1]) & (users[1:] == users[:-1])).any():
        dataset = histories.dataset
        raise UserError(
            f"the moments of data set {dataset.name!r} are not in order: import it again with "
            f"{dataset.manifest.provenance.command(dataset.name)}"
        )

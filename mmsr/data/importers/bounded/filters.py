"""Leaving out repeated interactions and those outside the k-core, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmsr.data.importers.bounded.ordering import Ordered
from mmsr.data.importers.bounded.parts import SPAN, spans
from mmsr.data.splits import Histories


def spans_of_users(users: NDArray[np.integer], size: int = SPAN) -> Iterator[slice]:
    """Slices of some `size` interactions that hold whole histories.

    Parameters
    ----------
    users : the user of each interaction, ascending.
    size : most interactions of a slice, unless one history is longer.
    """
    start = 0
    while start < len(users):
        stop = min(start + size, len(users))
        if stop < len(users):
            stop = int(np.searchsorted(users, users[stop]))
        if stop <= start:
            stop = int(np.searchsorted(users, users[start], side="right"))
        yield slice(start, stop)
        start = stop


def once(rows: Ordered, size: int = SPAN) -> Ordered:
    """Leave out interactions that repeat user, item and moment of an earlier row.

    Parameters
    ----------
    rows : all interactions; its arrays are overwritten.
    size : interactions that are compared at once; whole histories.
    """
    n_kept = 0
    for span in spans_of_users(rows.users, size):
        stays = ~_repeats(rows.users[span], rows.items[span], rows.times.values[span])
        n_kept = _move(rows, span, stays, n_kept)
    return rows.up_to(n_kept)


def _repeats(
    users: NDArray[np.int32], items: NDArray[np.int32], times: NDArray[Any]
) -> NDArray[np.bool_]:
    """Which interactions repeat an earlier one; sorted by user and time."""
    repeats = np.zeros(len(users), dtype=bool)
    same = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    if not same.any():
        return repeats
    places = np.flatnonzero(np.append(same, False) | np.append(False, same))
    columns = users[places], times[places], items[places]
    order = np.lexsort(columns[::-1])
    equal = np.logical_and.reduce([np.diff(column[order]) == 0 for column in columns])
    repeats[places[order[1:][equal]]] = True
    return repeats


def k_core(
    rows: Ordered, core: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """The k-core of the user-item graph.

    It is the largest subset in which every user and every item has at least `core` interactions.

    Parameters
    ----------
    rows : all interactions.
    core : fewest interactions, the k.

    Returns
    -------
    stays : bool [n], which interactions are in the core.
    of_users, of_items : int64, how many interactions each has in the core.
    """
    stays = np.ones(len(rows.users), dtype=bool)
    of_users = np.zeros(len(rows.user_ids), dtype=np.int64)
    of_items = np.zeros(len(rows.item_ids), dtype=np.int64)
    for span in spans(len(stays)):
        np.add.at(of_users, rows.users[span], 1)
        np.add.at(of_items, rows.items[span], 1)
    changed = True
    while changed:
        changed = False
        for span in spans(len(stays)):
            places = span.start + np.flatnonzero(stays[span])
            users, items = rows.users[places], rows.items[places]
            leaves = (of_users[users] < core) | (of_items[items] < core)
            if leaves.any():
                stays[places[leaves]] = False
                np.subtract.at(of_users, users[leaves], 1)
                np.subtract.at(of_items, items[leaves], 1)
                changed = True
    return stays, of_users, of_items


def keep(
    rows: Ordered,
    stays: NDArray[np.bool_],
    of_users: NDArray[np.int64],
    of_items: NDArray[np.int64],
) -> tuple[Histories, pa.Array, pa.Array]:
    """Make histories of the interactions that stay; users and items without any are left out.

    Parameters
    ----------
    rows : all interactions; its arrays are overwritten.
    stays, of_users, of_items : as `k_core` gives them.

    Returns
    -------
    histories : of the users and items that stay, numbered anew.
    user_ids, item_ids : their ids.
    """
    numbers = ((of_items > 0).cumsum() - 1).astype(np.int32)
    n_kept = 0
    for span in spans(len(stays)):
        rows.items[span] = numbers[rows.items[span]]
        n_kept = _move(rows, span, stays[span], n_kept)
    kept = rows.up_to(n_kept)
    lengths = of_users[of_users > 0]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return (
        Histories(kept.items, offsets, kept.times.values),
        rows.user_ids.filter(pa.array(of_users > 0)),
        rows.item_ids.filter(pa.array(of_items > 0)),
    )


def _move(rows: Ordered, span: slice, stays: NDArray[np.bool_], to: int) -> int:
    """Move the interactions of a span that stay towards the front; gives the next free place."""
    end = to + int(stays.sum())
    for values in (rows.users, rows.items, rows.times.values):
        values[to:end] = values[span][stays]
    return end

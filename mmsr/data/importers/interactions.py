"""From a table of interactions to histories: remove duplicates, take the k-core, sort by time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmsr.data.importers.columns import Ids, as_ids
from mmsr.data.importers.readers.rows import RowCount, Rows
from mmsr.data.importers.readers.tables import read_table
from mmsr.data.importers.times import Times, as_times
from mmsr.data.splits import Histories
from mmsr.errors import UserError

NEARLY_ALL = 0.95
"""Share of users from which on consecutive timestamps are taken for positions."""


@dataclass(frozen=True)
class Interactions:
    """The interactions that are kept, and what was left out.

    Attributes
    ----------
    histories : items of each user in the order of time; ties keep the order of the file.
    times : the moments of `histories`, and how to write them.
    user_ids, item_ids : original ids by index, in ascending order as text.
    duplicates : number of rows left out because they repeat user, item and moment of another row.
    core_users, core_items, core_interactions : how many the k-core filter left out.
    count : how many rows were read, left out and kept.
    """

    histories: Histories
    times: Times
    user_ids: pa.Array
    item_ids: pa.Array
    duplicates: int
    core_users: int
    core_items: int
    core_interactions: int
    count: RowCount


@dataclass(frozen=True)
class Positions:
    """Whether timestamps are moments, or only number the interactions of each user.

    Attributes
    ----------
    users : number of users with two interactions or more.
    numbered : how many of them have consecutive whole numbers from `first` on.
    first : the number at which most such users start.
    """

    users: int
    numbered: int
    first: float

    @classmethod
    def of(cls, users: NDArray[np.int64], times: Times) -> Positions:
        """Count the users whose timestamps are positions.

        Parameters
        ----------
        users : int64 [n], the user of each interaction.
        times : the timestamps, n of them; dates are moments, whatever they look like.
        """
        order = np.lexsort((times.values, users))
        ordered, values = users[order], times.values[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        lengths = np.diff(starts, append=len(ordered))
        is_step = np.diff(values, prepend=values[:1]) == 1
        is_step[starts] = True
        several = lengths > 1
        consecutive = np.logical_and.reduceat(is_step, starts) & several
        firsts, counts = np.unique(values[starts][consecutive], return_counts=True)
        if times.dated or not len(firsts):
            return cls(int(several.sum()), 0, 0)
        most = int(counts.argmax())
        return cls(int(several.sum()), int(counts[most]), firsts[most].item())

    def __bool__(self) -> bool:
        return self.users > 1 and self.numbered >= NEARLY_ALL * self.users


def check_moments(found: Positions, source: Path) -> None:
    """Check that moments can be compared between users, which the protocol `temporal` needs.

    Parameters
    ----------
    found : how many users have positions for timestamps.
    source : their table, for the error.

    Raises
    ------
    UserError : the timestamps are positions in histories.
    """
    if found:
        raise UserError(
            f"{source}: the timestamps are positions, not moments: {found.numbered:,} of "
            f"{found.users:,} users have {found.first:g}, {found.first + 1:g}, {found.first + 2:g} "
            "and so on: give Unix times, or ISO dates if these numbers are days; or use --protocol "
            "ratio or leave-one-out"
        )


def read_interactions(
    path: Path, core: int, columns: Mapping[str, str], *, moments: bool = False
) -> Interactions:
    """Read interactions and make histories of them.

    Rows that repeat user, item and moment of an earlier row are left out; the same item at another
    moment is a repeat and stays. Then users and items with fewer than `core` interactions are
    removed, again and again until all have enough. Ties in time keep the order of the file.

    Parameters
    ----------
    path : table of user_id, item_id and timestamp.
    core : fewest interactions of a user or item that is kept.
    columns : column names in the file by mmsr's names.
    moments : whether timestamps must be moments that can be compared between users.

    Raises
    ------
    UserError : the table cannot be used, nothing is left, a history is shorter than two, or
        timestamps are positions where moments are needed.
    """
    import pandas as pd

    source, rows = str(path), Rows(path)
    table = read_table(path, ("user_id", "item_id", "timestamp"), columns=columns)
    users = as_ids(table.column("user_id"), "user_id", rows)
    items = as_ids(table.column("item_id"), "item_id", rows)
    times = as_times(table.column("timestamp"), rows)
    n_rows = table.num_rows
    del table
    frame = pd.DataFrame({"user": users.codes, "item": items.codes, "time": times.values})
    once = np.flatnonzero(~frame.duplicated().to_numpy())
    kept = once[k_core(users.codes[once], items.codes[once], core)]
    if not len(kept):
        raise UserError(
            f"{source}: nothing is left of {len(once)} interactions once users and items have "
            f"{core} or more each: lower --core, or give more interactions"
        )
    user_codes, user_ids = _renumber(users, kept)
    item_codes, item_ids = _renumber(items, kept)
    lengths = np.bincount(user_codes)
    if lengths.min() < 2:
        short = lengths < 2
        raise UserError(
            f"{source}: {short.sum()} of {len(short)} users have a history shorter than two, e.g. "
            f"{user_ids[int(short.argmax())].as_py()!r}: use --core 2 or more, or leave them out"
        )
    order = np.lexsort((times.values[kept], user_codes))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ordered = replace(times, values=times.values[kept][order])
    histories = Histories(item_codes[order].astype(np.int32), offsets, ordered.values)
    if moments:
        seen = replace(times, values=times.values[once])
        check_moments(Positions.of(users.codes[once], seen), path)
    return Interactions(
        histories,
        ordered,
        user_ids,
        item_ids,
        duplicates=n_rows - len(once),
        core_users=len(users.values) - len(user_ids),
        core_items=len(items.values) - len(item_ids),
        core_interactions=len(once) - len(kept),
        count=RowCount(
            path.name,
            n_rows,
            {"repeated": n_rows - len(once), f"outside the {core}-core": len(once) - len(kept)},
            len(histories.items),
        ),
    )


def k_core(users: NDArray[np.int64], items: NDArray[np.int64], core: int) -> NDArray[np.int64]:
    """Indices of the interactions in the k-core of the user-item graph, ascending.

    It is the largest subset in which every user and every item has at least `core` interactions.

    Parameters
    ----------
    users, items : int64 `[n]`, the user and the item of each interaction.
    core : fewest interactions, the k.
    """
    kept = np.arange(len(users))
    while True:
        user, item = users[kept], items[kept]
        stays = (np.bincount(user)[user] >= core) & (np.bincount(item)[item] >= core)
        if stays.all():
            return kept
        kept = kept[stays]


def _renumber(ids: Ids, kept: NDArray[np.int64]) -> tuple[NDArray[np.int64], pa.Array]:
    """Codes and values of the ids that are still in use."""
    codes = ids.codes[kept]
    is_used = np.bincount(codes, minlength=len(ids.values)) > 0
    return (is_used.cumsum() - 1)[codes], ids.values.filter(pa.array(is_used))

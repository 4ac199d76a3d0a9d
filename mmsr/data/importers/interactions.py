"""From a table of interactions to histories: sort by time, remove duplicates, take the k-core.

A table that is too large for memory is read in parts and sorted by DuckDB (`bounded`); the arrays
that result lie in mapped files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from mmsr.data.importers.bounded.filters import k_core, keep, once
from mmsr.data.importers.bounded.ordering import Orderable, Ordered, order_interactions
from mmsr.data.importers.bounded.positions import Positions, check_moments
from mmsr.data.importers.bounded.scratch import MEMORY, Scratch
from mmsr.data.importers.readers.batches import stage_table
from mmsr.data.importers.readers.rows import RowCount, Rows
from mmsr.data.importers.times import Times
from mmsr.data.splits import Histories
from mmsr.errors import UserError


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


def read_interactions(
    source: Path | Orderable,
    core: int,
    columns: Mapping[str, str],
    *,
    moments: bool = False,
    scratch: Scratch = MEMORY,
) -> Interactions:
    """Read interactions and make histories of them.

    Rows that repeat user, item and moment of an earlier row are left out; the same item at another
    moment is a repeat and stays. Then users and items with fewer than `core` interactions are
    removed, again and again until all have enough. Ties in time keep the order of the file.

    Parameters
    ----------
    source : table of user_id, item_id and timestamp.
    core : fewest interactions of a user or item that is kept.
    columns : column names in the file by mmsr's names.
    moments : whether timestamps must be moments that can be compared between users.
    scratch : space for what does not fit in memory; by default, all is in memory.

    Raises
    ------
    UserError : the table cannot be used, nothing is left, a history is shorter than two, or
        timestamps are positions where moments are needed; or there is no space for it.
    """
    n_rows, rows = _ordered(source, columns, scratch)
    n_users, n_items = len(rows.user_ids), len(rows.item_ids)
    rows = once(rows)
    n_once = len(rows.users)
    stays, of_users, of_items = k_core(rows, core)
    if not stays.any():
        raise UserError(
            f"{source}: nothing is left of {n_once} interactions once users and items have "
            f"{core} or more each: lower --core, or give more interactions"
        )
    positions = Positions.of(rows.users, rows.times) if moments else None
    histories, user_ids, item_ids = keep(rows, stays, of_users, of_items)
    if histories.lengths.min() < 2:
        short = histories.lengths < 2
        raise UserError(
            f"{source}: {short.sum()} of {len(short)} users have a history shorter than two, e.g. "
            f"{user_ids[int(short.argmax())].as_py()!r}: use --core 2 or more, or leave them out"
        )
    if positions is not None:
        check_moments(positions, source)
    n_kept = len(histories.items)
    name = source.name if isinstance(source, Path) else source.label
    repeated, outside = n_rows - n_once, n_once - n_kept
    dropped = {"repeated": repeated, f"outside the {core}-core": outside}
    return Interactions(
        histories,
        replace(rows.times, values=histories.times),
        user_ids,
        item_ids,
        duplicates=repeated,
        core_users=n_users - len(user_ids),
        core_items=n_items - len(item_ids),
        core_interactions=outside,
        count=RowCount(name, n_rows, dropped, n_kept),
    )


def _ordered(
    source: Path | Orderable, columns: Mapping[str, str], scratch: Scratch
) -> tuple[int, Ordered]:
    """Number of rows, and the interactions by user and time."""
    if not isinstance(source, Path):
        return source.order(columns, scratch)
    staged = stage_table(source, ("user_id", "item_id", "timestamp"), columns, scratch)
    return staged.n_rows, order_interactions(staged, Rows(source), scratch)

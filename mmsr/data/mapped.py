"""Where prefixes begin and end, kept in a file that all processes of a node map.

These arrays are larger than the histories that they point into; without the file, every process
would hold a copy of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmsr import paths
from mmsr.data.splits import Prefixes
from mmsr.data.storage import column, read_arrow, write_arrow
from mmsr.errors import UserError

_VERSION = 1


def mapped_prefixes(items: NDArray[np.int32], name: str, make: Callable[[], Prefixes]) -> Prefixes:
    """Prefixes of flat histories, their positions mapped from the cache.

    Where the cache lacks them or its file is damaged, they are made and written. Where the cache
    cannot be written, they are only made.

    Parameters
    ----------
    items : int32 [n_interactions], all histories one after the other.
    name : name of the file, unique to the data and their part.
    make : makes the prefixes.
    """
    path = paths.prefixes_cache() / f"{name}-v{_VERSION}.arrow"
    if (found := _read(items, path)) is not None:
        return found
    made = make()
    try:
        _write(made, path)
    except (OSError, UserError):  # read-only or full: this process keeps them to itself
        return made
    return _read(items, path) or made


def _read(items: NDArray[np.int32], path: Path) -> Prefixes | None:
    if not path.is_file():
        return None
    try:
        table = read_arrow(path)
        starts, targets, users = (
            column(table, key).to_numpy() for key in ("start", "target", "user")
        )
    except (UserError, KeyError):
        return None
    return Prefixes(items, starts, targets, users)


def _write(prefixes: Prefixes, path: Path) -> None:
    table = pa.table({"start": prefixes.starts, "target": prefixes.targets, "user": prefixes.users})
    partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    try:
        write_arrow(partial, table)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)

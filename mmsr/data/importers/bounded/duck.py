"""DuckDB, for what must be sorted or grouped and is larger than memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmsr import paths
from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.errors import UserError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MOST_THREADS = 8
"""More would leave each too little of the memory."""


@contextmanager
def connected(scratch: Scratch) -> Iterator[DuckDBPyConnection]:
    """Context with an empty database that spills into the scratch folder.

    Joins are done in the order in which they are written, their right sides held in memory.

    Parameters
    ----------
    scratch : space for what does not fit in memory.

    Raises
    ------
    UserError : memory or space on disk is used up.
    """
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": scratch.limits.duckdb_memory,
        "temp_directory": str(scratch.file(".duckdb")),
        "threads": min(_MOST_THREADS, _cores()),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "disabled_optimizers": "join_order,build_side_probe_side",
    }
    try:
        with duckdb.connect(config=config) as database:
            database.execute("SET enable_progress_bar = false")
            yield database
    except duckdb.OutOfMemoryException as error:
        reason = str(error).partition("Possible solutions")[0]
        raise UserError(
            f"cannot sort the interactions: {' '.join(reason.split())[:200]}; free memory, or "
            "import on a machine that has more"
        ) from None
    except duckdb.Error as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"cannot sort the interactions: {reason}; MMSR_HOME ({paths.home()}) must be a folder "
            "with space that you can write to"
        ) from None


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

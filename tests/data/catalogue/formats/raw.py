"""Published files, written byte by byte: every format, with whatever a test puts in."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet

from mmsr.data.catalogue.formats.registry import FORMATS
from mmsr.data.catalogue.formats.tables import Table, Tables
from mmsr.data.progress import Silent

SECOND, MILLISECOND = 1_400_000_000, 1_400_000_000_000
WIDTH = 4096


def lines(*rows: Any, end: str = "\n") -> bytes:
    """Lines: a text as it is, anything else as JSON."""
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return "".join(text + end for text in texts).encode("utf-8", "surrogatepass")


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def record(asin: bytes, first: float = 1.0) -> bytes:
    """An image record: the vector (first, 2, 0, 0, …)."""
    return asin + struct.pack(f"<{WIDTH}f", first, 2.0, *[0.0] * (WIDTH - 2))


def review(user: Any = "U1", item: Any = "B000000001", time: Any = SECOND, **more: Any) -> Any:
    """A review of the releases of 2014 and 2018."""
    return {"reviewerID": user, "asin": item, "unixReviewTime": time, "overall": 5.0, **more}


def written(folder: Path, files: Mapping[str, bytes]) -> dict[str, Path]:
    """Write files; their paths by role, which is their name up to the first dot."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {name.partition(".")[0]: folder / name for name in files}


def parse(form: str, files: Mapping[str, Path], folder: Path) -> Tables:
    return FORMATS[form](files, folder / "tables", Silent())


def rows(table: Table | None) -> list[tuple[Any, ...]]:
    """The rows of a neutral table."""
    assert table is not None
    return [tuple(row.values()) for row in pyarrow.parquet.read_table(table.path).to_pylist()]


def dropped(table: Table | None) -> dict[str, int]:
    assert table is not None
    return dict(table.count.dropped)


def pairs_of(
    n_users: int = 6, items: Sequence[str] = ("B000000001", "B000000002", "B000000003")
) -> list[tuple[str, str, int]]:
    """Interactions of users, each with all items twice, a day apart: a 5-core."""
    return [
        (f"U{user}", item, 86_400 * (position + turn * len(items)) + user)
        for user in range(n_users)
        for turn in range(2)
        for position, item in enumerate(items)
    ]

"""What in the home is how large, and which drafts in it are nobody's any more."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmsr import paths
from mmsr.data.folders import RECORD_FILE
from mmsr.errors import UserError
from mmsr.format import data_size
from mmsr.remote import RemotePath

_KINDS = {
    "datasets": "data set",
    paths.HELD_OUT: "test part",
    "studies": "study",
    "trainings": "tracked training",
    "cache": "cache",
    "downloads": "download",
    "imports": "files of an import",
}
"""Folders of the home that hold a folder or file for each thing, with what that is."""

_RECORD = "record of openings"
"""What is left in the folder of a test part when the data set is removed."""
_ABANDONED = 24 * 3600.0
"""Seconds after which a draft that nobody has touched is taken for one of a killed process."""


@dataclass(frozen=True)
class Used:
    """A folder or file of the home, and its size."""

    kind: str
    name: str
    n_bytes: int
    detail: str = ""


def files_in(place: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all files of a folder and of those in it; links are neither followed nor yielded.

    What vanishes meanwhile or cannot be read is left out.

    Parameters
    ----------
    place : the folder; nothing is yielded where there is none.
    """
    left = [str(place)]
    while left:
        try:
            entries = list(os.scandir(left.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                left.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry


def size_of(place: Path) -> int:
    """Bytes of a file, or of all files of a folder; 0 where there is none, and for a link.

    Parameters
    ----------
    place : the file or folder.
    """
    if place.is_symlink():
        return 0
    if place.is_file():
        return place.stat().st_size
    total = 0
    for entry in files_in(place):
        with suppress(OSError):
            total += entry.stat(follow_symlinks=False).st_size
    return total


def total_of(places: Iterable[Path]) -> int:
    """Bytes of several files or folders.

    Parameters
    ----------
    places : none within another.
    """
    return sum(map(size_of, places))


def is_abandoned(path: Path) -> bool:
    """Whether a draft was last written so long ago that its writer must be gone.

    Parameters
    ----------
    path : a file, or a folder that files are written into.
    """
    try:
        newest = max(
            [path.stat().st_mtime, *(Path(one.path).stat().st_mtime for one in files_in(path))]
        )
    except OSError:
        return False
    return time.time() - newest > _ABANDONED


def used() -> list[Used]:
    """What the home's folder holds, largest first within each kind; nothing is counted twice.

    Raises
    ------
    UserError : the home cannot be read.
    """
    home = paths.home()
    found = []
    try:
        for top in sorted(home.iterdir()) if home.exists() else ():
            if top.name in _KINDS and top.is_dir():
                found += [_used(_KINDS[top.name], place) for place in sorted(top.iterdir())]
            else:
                found.append(_used("other", top))
    except OSError as error:
        raise UserError(f"cannot read {home}: {error.strerror}") from None
    return _sorted(found)


def used_in_store(home: RemotePath) -> list[Used]:
    """What a home in an object store holds there, largest first within each kind.

    Parameters
    ----------
    home : the home.

    Raises
    ------
    UserError : the store cannot be read.
    """
    from pyarrow.fs import FileSelector

    sizes: dict[tuple[str, str], int] = {}
    having_test: set[str] = set()
    part = _KINDS[paths.HELD_OUT]
    try:
        chosen = FileSelector(home.key, allow_not_found=True, recursive=True)
        for info in home.filesystem.get_file_info(chosen):
            top, _, rest = info.path.removeprefix(f"{home.key}/").partition("/")
            kind = _KINDS.get(top, "other")
            name, _, file = rest.partition("/") if top in _KINDS else (top, "", "")
            sizes[kind, name] = sizes.get((kind, name), 0) + (info.size or 0)
            if top == paths.HELD_OUT and file not in ("", RECORD_FILE):
                having_test.add(name)
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"cannot list {paths.searched()}: {reason}") from None
    return _sorted(
        [
            Used(_RECORD if kind == part and name not in having_test else kind, name, n)
            for (kind, name), n in sizes.items()
        ]
    )


def _sorted(found: list[Used]) -> list[Used]:
    order = [*_KINDS.values(), _RECORD, "other"]
    some = [one for one in found if one.n_bytes]
    return sorted(some, key=lambda one: (order.index(one.kind), -one.n_bytes, one.name))


def _used(kind: str, place: Path) -> Used:
    if kind == _KINDS[paths.HELD_OUT] and {one.name for one in files_in(place)} == {RECORD_FILE}:
        kind = _RECORD
    detail = ", ".join(_parts(place)) if kind == "study" else ""
    return Used(kind, place.name, size_of(place), detail)


def _parts(study: Path) -> Iterator[str]:
    if n_bytes := total_of(study.glob("**/ray")):
        yield f"checkpoints {data_size(n_bytes)}"
    if n_bytes := total_of(study.glob("tracking.*")):
        yield f"tracking journal {data_size(n_bytes)}"

"""How large folders are, and which files in them are old enough to be nobody's any more."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_ABANDONED = 24 * 3600.0
"""Seconds after which a draft that nobody has touched is taken for one of a killed process."""


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
    """Bytes of a file, or of all files of a folder; 0 where there is none.

    Parameters
    ----------
    place : the file or folder.
    """
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

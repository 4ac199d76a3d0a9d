"""Folders for files that an import needs only while it runs, under `$MMSR_HOME/imports`.

Copies of remote files, foreign and published tables on their way to the importers, and what does
not fit in memory lie there. Each folder in use has a lock beside it, which is removed after the
folder and while it is still held: whoever waits for it then finds that it is gone.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mmsr import paths
from mmsr.data.folders import cannot

_ATTEMPTS = 100
_DAY = 24 * 3600.0


@contextmanager
def scratch() -> Iterator[Path]:
    """Context with an empty folder that is removed at its end.

    What killed processes have left is removed first.

    Raises
    ------
    UserError : the home cannot be written.
    """
    parent = paths.imports()
    try:
        tidy()
        folder = parent / uuid.uuid4().hex[:8]
        lock = _acquired(folder)  # before there is a folder, so that nobody takes it for abandoned
        folder.mkdir()
    except OSError as error:
        raise cannot("write to", parent, error) from None
    try:
        yield folder
    finally:
        _remove(folder, lock)


def abandoned() -> list[Path]:
    """The folders that killed processes have left."""
    return sorted(folder for folder, _ in _abandoned())


def tidy() -> None:
    """Remove the folders that killed processes have left."""
    for folder, lock in _abandoned():
        _remove(folder, lock)


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _acquired(folder: Path) -> FileLock:
    """The lock of a folder, held. Other imports may be removing the parent at the same time."""
    lock = FileLock(_lock(folder))
    for attempt in range(_ATTEMPTS):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            break
        except (FileNotFoundError, FileExistsError):
            if attempt == _ATTEMPTS - 1:
                raise
    return lock


def _abandoned() -> Iterator[tuple[Path, FileLock]]:
    """The folders whose process is gone, each with its lock, which is held until the next."""
    for folder in sorted(paths.imports().glob("*")):  # without a lock, if removing it was cut short
        with suppress(OSError):
            is_old = time.time() - folder.stat().st_mtime > _DAY
            if is_old and folder.is_dir() and not _lock(folder).exists():
                _lock(folder).touch()
    for path in sorted(paths.imports().glob("*.lock")):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):  # in use, or not for this user to write
            continue
        try:
            yield path.with_suffix(""), lock
        finally:
            lock.release()


def _remove(folder: Path, lock: FileLock) -> None:
    """Remove a folder and then its lock, which is held, and release that."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():  # on NFS, files that are still mapped stay until the next import
        _lock(folder).unlink(missing_ok=True)
    lock.release()
    with suppress(OSError):  # others may be in it
        folder.parent.rmdir()

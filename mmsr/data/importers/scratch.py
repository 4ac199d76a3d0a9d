"""Folders for files that an import needs only while it runs, under `$MMSR_HOME`."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mmsr import paths
from mmsr.data.folders import cannot


@contextmanager
def scratch() -> Iterator[Path]:
    """Context with an empty folder that is removed at its end.

    What killed processes have left is removed first: each folder in use has a lock beside it.

    Raises
    ------
    UserError : the home cannot be written.
    """
    parent = paths.home() / "imports"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _tidy(parent)
        folder = parent / uuid.uuid4().hex[:8]
        lock = FileLock(_lock(folder))
        lock.acquire()  # before there is a folder, so that nobody takes it for abandoned
        folder.mkdir(parents=True)
    except OSError as error:
        raise cannot("write to", parent, error) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        _lock(folder).unlink(missing_ok=True)
        with suppress(OSError):  # others may be in it
            parent.rmdir()


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _tidy(parent: Path) -> None:
    """Remove the folders whose process is gone."""
    for path in parent.glob("*.lock"):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        lock.release()
        path.unlink(missing_ok=True)

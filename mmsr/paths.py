"""Where files are: everything that mmsr keeps is under one folder, `$MMSR_HOME`.

For clusters without a shared file system, the home may be in an object store. Data sets and trials'
checkpoints are there then; each machine has its own folder for copies and for everything else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mmsr.remote import RemotePath
from mmsr.urls import is_uri

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What can name a data set or a study."""
IN_HOME = "$MMSR_HOME"
"""Stands for the home in records."""
HELD_OUT = "held-out"
"""Name of the folder of the test parts, in the home and in an object store."""


def home() -> Path:
    """The folder of data sets, caches, studies and the local MLflow store (default `~/.mmsr`).

    If the home is in an object store, it is this machine's own folder for it, under `$MMSR_COPIES`
    (default `~/.mmsr/copies`).
    """
    named = named_home()
    if not is_uri(named):
        return Path(named).expanduser().absolute()
    copies = Path(os.environ.get("MMSR_COPIES") or "~/.mmsr/copies").expanduser().absolute()
    RemotePath.parse(named)  # it becomes a name here, so it must hold no secret
    return copies / re.sub(r"[^A-Za-z0-9._-]+", "-", named.partition("?")[0])


def named_home() -> str:
    """`$MMSR_HOME` as it was given: the path or URI that names the home on every node.

    It is not for messages: only `searched` and `remote` refuse a URI with a password.
    """
    return os.environ.get("MMSR_HOME") or "~/.mmsr"


def searched() -> str:
    """The home as messages name it: where data sets and studies are searched for."""
    if not os.environ.get("MMSR_HOME"):
        return f"{named_home()} (MMSR_HOME is not set)"
    there = remote()
    return str(home()) if there is None else str(there).partition("?")[0]


def remote() -> RemotePath | None:
    """The home in an object store; None where it is a folder."""
    named = named_home()
    return RemotePath.parse(named) if is_uri(named) else None


def datasets() -> Path:
    """Folder of the prepared data sets, one sub-folder each."""
    return home() / "datasets"


def downloads() -> Path:
    """Folder of the files of public data sets, one sub-folder each; on this machine in any case."""
    return home() / "downloads"


def held_out() -> Path:
    """Folder of the test parts, one sub-folder for each data set; trials read nothing in it."""
    return home() / HELD_OUT


def codes_cache() -> Path:
    """Folder of the modality codes, one file per content hash of inputs and settings."""
    return home() / "cache" / "codes"


def prefixes_cache() -> Path:
    """Folder of the prefixes' positions, one file per data set and part."""
    return home() / "cache" / "prefixes"


def references_cache() -> Path:
    """Folder of the reference lines' figures, one file per data set, line and settings."""
    return home() / "cache" / "references"


def vectors_cache() -> Path:
    """Folder of encoded texts and images, one file per encoder, version and settings."""
    return home() / "cache" / "vectors"


def images_cache() -> Path:
    """Folder of the images that were fetched, one file per URL."""
    return home() / "cache" / "images"


def imports() -> Path:
    """Folder of what imports need only while they run, one sub-folder each."""
    return home() / "imports"


def studies() -> Path:
    """Folder of the studies' state (Ray results, locks, journals), one sub-folder each."""
    return home() / "studies"


def trainings() -> Path:
    """Folder of the tracked trainings outside of studies, one sub-folder each."""
    return home() / "trainings"


def changes() -> Path:
    """Folder of the records of removals and renames that are under way, see `mmsr.care.changes`."""
    return home() / "changes"


def recorded(path: Path) -> str:
    """`path` as records name it: a place in the home is told from there, as homes are moved."""
    inside = path.is_relative_to(home())
    return f"{IN_HOME}/{path.relative_to(home())}" if inside else str(path)


def recalled(text: str) -> Path:
    """The path that a record names.

    Earlier versions of mmsr recorded the whole path. If nothing is there any more, it is looked
    for in the present home, in case the home was moved.

    Parameters
    ----------
    text : what `recorded` has returned, now or in an earlier version.
    """
    if text.startswith(f"{IN_HOME}/"):
        return home() / text.removeprefix(f"{IN_HOME}/")
    path = Path(text)
    if path.exists():
        return path
    moved = (home().joinpath(*path.parts[first:]) for first in range(2, len(path.parts)))
    return next((place for place in moved if place.exists()), path)


def write_whole(path: Path, data: bytes, *, durably: bool = False) -> None:
    """Write a file so that it is complete or not there; the folder must exist.

    Parameters
    ----------
    path : the file; replaced where it is there.
    data : its contents.
    durably : whether it is on disk when this returns.

    Raises
    ------
    OSError : it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            file.write(data)
            if durably:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:  # on a full disk, and for Ctrl-C
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if durably:
        sync_folder(path.parent)


@contextmanager
def shared_as_usual(*files: Path) -> Iterator[None]:
    """Context in which files are written that others may read as far as the umask lets them.

    Some libraries, such as safetensors, make every file its owner's alone, and nobody else could
    use the caches of a shared home.

    Parameters
    ----------
    files : what the block writes; their folder must exist.

    Raises
    ------
    OSError : they cannot be written.
    """
    for file in files:
        file.touch()
    modes = [file.stat().st_mode for file in files]
    yield
    for file, mode in zip(files, modes, strict=True):
        file.chmod(mode)


@contextmanager
def if_free(lock: Path) -> Iterator[bool]:
    """Context in which no other process holds a lock; False where one does.

    Parameters
    ----------
    lock : file of the lock; its folder must exist.

    Raises
    ------
    OSError : it cannot be written.
    """
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        held.release()


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk; OSError if that fails."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

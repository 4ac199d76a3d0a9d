"""Folders of data sets: their names, the lock to write one, and how one is replaced."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mmsr import paths
from mmsr.data.manifest import MANIFEST_FILE
from mmsr.data.progress import Reporter
from mmsr.errors import UserError
from mmsr.paths import NAME


def check_name(name: str) -> None:
    """Check that `name` can name a data set.

    Parameters
    ----------
    name : up to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit.

    Raises
    ------
    UserError : it cannot.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"bad data set name {name!r}: use up to 100 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )


@contextmanager
def locked(name: str, reporter: Reporter) -> Iterator[Path]:
    """Context with the exclusive right to write a data set.

    Waits for another process that writes the same name, and first removes what a killed import has
    left behind.

    Parameters
    ----------
    name : name of the data set.
    reporter : gets a note if there is another process to wait for.

    Yields
    ------
    The data set's folder, which may not exist yet.

    Raises
    ------
    UserError : a bad name, or the folder of data sets cannot be written.
    """
    check_name(name)
    folder = paths.datasets()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            reporter.note(f"waiting for another import of {name!r} to finish …")
            lock.acquire()
    except OSError as error:
        raise cannot("write to", folder, error) from None
    try:
        _tidy(folder, name)
        yield folder / name
    finally:
        lock.release()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Context with an empty folder that replaces `target` unless the block raises.

    Processes that have the old files mapped keep them. Use it inside `locked`.

    Parameters
    ----------
    target : the data set's folder; it may be missing.

    Raises
    ------
    UserError : the folder cannot be written, or `target` is something other than a data set.
    """
    if target.exists() and not (target / MANIFEST_FILE).is_file():
        raise UserError(
            f"{target} is in the way and is no data set: move it, or choose another name"
        )
    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.draft-", dir=target.parent))
    except OSError as error:
        raise cannot("write to", target.parent, error) from None
    old = _backup(target.parent, target.name)
    try:
        yield draft
        draft.chmod(0o755)
        if target.exists():
            target.rename(old)
        draft.rename(target)
    except OSError as error:
        raise cannot("write", target, error) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        _tidy(target.parent, target.name)


def cannot(action: str, path: Path, error: OSError) -> UserError:
    """Build the error for a file or folder that cannot be used.

    Parameters
    ----------
    action : what cannot be done, e.g. ``"write to"``.
    path : the file or folder.
    error : what the system raised.
    """
    message = f"cannot {action} {path}: {reason_of(error)}"
    if path.is_relative_to(paths.home()):
        message += f"; MMSR_HOME ({paths.home()}) must be a folder with space that you can write to"
    return UserError(message)


def reason_of(error: OSError) -> str:
    """The system's message for the number of `error`, or the error's own where it has none."""
    return os.strerror(error.errno) if error.errno else str(error)


def _backup(folder: Path, name: str) -> Path:
    return folder / f".{name}.old"


def _tidy(folder: Path, name: str) -> None:
    """Remove abandoned drafts; restore a data set whose replacement did not succeed."""
    old = _backup(folder, name)
    if old.exists():
        if (folder / name).exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder / name)
    for draft in folder.glob(f".{name}.draft-*"):
        shutil.rmtree(draft, ignore_errors=True)

"""Folders of data sets: their names, the lock to write one, and how one is replaced.

The test part is in another folder, `held-out/NAME`, so a replacement needs two renames. The new
test part waits there under a name with its content hash. The rename of the data set's folder
decides: afterwards the part that waits takes its place if it is that of the data set, and is
removed if not. Whoever next takes the lock makes up for a process that was killed in between.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from mmsr import paths
from mmsr.data.closed import TEST_FILE, in_trial
from mmsr.data.manifest import MANIFEST_FILE, Manifest
from mmsr.data.progress import Reporter, Silent
from mmsr.errors import UserError, reason_of
from mmsr.paths import NAME
from mmsr.provenance import now

RECORD_FILE = "openings.jsonl"
"""File beside the test part with its record: see `mmsr.data.held_out`."""


class SetApart(BaseModel):
    """Line of the record: until then the test part was in the data set's own folder.

    Earlier versions of mmsr wrote it there, and kept no record of its openings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_apart_at: str
    """Time in UTC."""
    content_hash: str


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
    with one_at_a_time(folder / f".{name}.lock", f"import of {name!r} to finish", reporter):
        _tidy(folder, name)
        yield folder / name


@contextmanager
def one_at_a_time(lock: Path, other: str, reporter: Reporter) -> Iterator[None]:
    """Context in which no other process is that uses the same lock.

    Parameters
    ----------
    lock : file of the lock; its folder is made.
    other : what is waited for, to be read after "waiting for another".
    reporter : gets a note if there is another process to wait for.

    Raises
    ------
    UserError : the folder cannot be written.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        try:
            held.acquire(timeout=0)
        except Timeout:
            reporter.note(f"waiting for another {other} …")
            held.acquire()
    except OSError as error:
        raise cannot("write to", lock.parent, error) from None
    try:
        yield
    finally:
        held.release()


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
        draft = target.with_name(f".{target.name}.draft-{uuid.uuid4().hex}")
        draft.mkdir()  # its mode is the data set's
    except OSError as error:
        raise cannot("write to", target.parent, error) from None
    old = _backup(target.parent, target.name)
    try:
        yield draft
        if target.exists():
            target.rename(old)
        draft.rename(target)
    except OSError as error:
        raise cannot("write", target, error) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        _tidy(target.parent, target.name)


def test_file(name: str) -> Path:
    """The file of a data set's test part.

    Parameters
    ----------
    name : name of the data set.
    """
    return paths.held_out() / name / TEST_FILE


def waiting_test_file(name: str, content_hash: str) -> Path:
    """Where a new test part waits until the data set that it belongs to is in place.

    Parameters
    ----------
    name : name of the data set.
    content_hash : hash of the data set's whole content.
    """
    return test_file(name).with_name(f".{content_hash[:16]}.arrow")


def set_apart(folder: Path) -> None:
    """Move the test part out of a data set's folder, where earlier versions of mmsr wrote it.

    The record of openings says so, since it has none from before. Of a link, the file that it leads
    to is copied and stays where it is. Nothing happens inside a trial.

    Parameters
    ----------
    folder : folder of the data set.

    Raises
    ------
    UserError : it cannot be moved.
    """
    old, new = folder / TEST_FILE, test_file(folder.name)
    if in_trial() or not old.is_file():
        return
    try:
        with locked(folder.name, Silent()):
            if not old.exists():  # another process has moved it meanwhile
                return
            if not new.exists():
                _copy(old, new)
            elif not filecmp.cmp(old, new, shallow=False):
                raise UserError("another is there: remove the wrong one")
            mark = SetApart(set_apart_at=now(), content_hash=Manifest.read(folder).content_hash)
            append_line(new.with_name(RECORD_FILE), mark.model_dump_json())
            old.unlink()
    except (OSError, UserError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        again = Manifest.read(folder).provenance.command(folder.name)
        raise UserError(
            f"data set {folder.name!r} has its test part where trials reach it, and it cannot be "
            f"moved to {paths.HELD_OUT}/: {reason}; make both folders writable, or import it "
            f"again: {again}"
        ) from None


def append_line(path: Path, line: str) -> None:
    """Append a line to a file; it is on disk when this returns.

    Parameters
    ----------
    path : the file; it may be missing.
    line : the line, without its end.
    """
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a process was killed while it wrote
                line = f"\n{line}"
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    paths.sync_folder(path.parent)


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


def _copy(old: Path, new: Path) -> None:
    """Copy a test part, also from another file system; `new` is there as a whole or not at all."""
    new.parent.mkdir(parents=True, exist_ok=True)
    partial = new.with_name(".copy.arrow.partial")  # what is left of it, `_settle_test` removes
    with old.open("rb") as source, partial.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        target.flush()
        os.fsync(target.fileno())
    partial.replace(new)
    paths.sync_folder(new.parent)


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
    _settle_test(folder / name)


def _settle_test(folder: Path) -> None:
    """Put the test part that waits into place, or remove it: see the top of this module."""
    waiting = sorted(test_file(folder.name).parent.glob(".*.arrow*"))
    if not waiting:
        return
    wanted = None
    with suppress(UserError):  # there is none yet, or it is damaged: the part belongs to nothing
        wanted = waiting_test_file(folder.name, Manifest.read(folder).content_hash)
    try:
        for file in waiting:
            if file == wanted:
                file.replace(test_file(folder.name))
            else:
                file.unlink()
    except OSError as error:
        raise cannot("write to", test_file(folder.name).parent, error) from None

"""The folder of an export: written beside its place, and moved there when it is complete."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr import paths
from mmsr.errors import UserError, reason_of, shown
from mmsr.urls import is_uri

RECORD_FILE = "mmsr-export.json"
_OLD, _LOCK = "old", "lock"
"""In the folder of a draft: what it is to replace, and what its process holds."""
_NO_LOCK = (OSError, NotImplementedError)
"""What is raised where a file system has no locks, or the user may not take one."""


class ExportRecord(BaseModel):
    """What an export is of, kept beside its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    """Name of the data set."""
    content_hash: str
    """That of the whole data set, test included."""
    protocol: str
    format: str
    with_test: bool
    moments: bool
    """Whether timestamps are those of the import; if not, they are positions in histories."""
    users: int
    items: int
    interactions: dict[str, int]
    """By part."""
    targets: dict[str, int]
    """By part: interactions that have a history, and with `cold-items` a new item."""
    features: dict[str, int]
    """Number of items with a vector, by modality."""
    files: tuple[str, ...]
    """Names of all files, this record included, from the folder of the export."""
    created_at: str
    created_by: str

    def write(self, folder: Path) -> None:
        """Write it into the folder of the export."""
        (folder / RECORD_FILE).write_text(self.model_dump_json(indent=1) + "\n")


def check_output(output: str, *, overwrite: bool) -> Path:
    """Check that an export can be written to a folder.

    Parameters
    ----------
    output : the folder, as the user named it.
    overwrite : whether an earlier export may be replaced.

    Returns
    -------
    The folder, links followed.

    Raises
    ------
    UserError : it is in an object store, it is in the home or holds it or the current folder, or
        something is there that is no export, that holds other files, too, or that may not be
        replaced.
    """
    target, found = folder_to_make(output)
    if not found:
        return target
    try:
        record = _record_in(target)
        others = () if record is None else sorted(found - set(record.files))
    except OSError as error:
        raise UserError(f"--output is {shown(output)}: {reason_of(error)}") from None
    if record is None:
        raise UserError(f"{output} is there and is no export of mmsr: name another folder")
    if not overwrite:
        raise UserError(f"{output} is an earlier export: use --overwrite, or name another folder")
    if others:
        raise UserError(
            f"{output} holds {shown(others[0])}, which the export did not write: move it away, or "
            "name another folder"
        )
    return target


def folder_to_make(output: str) -> tuple[Path, set[str]]:
    """Check that a folder may be made or replaced at a place, whatever is in it.

    Parameters
    ----------
    output : the folder, as the user named it.

    Returns
    -------
    The folder, links followed, and the names of the files that are in it.

    Raises
    ------
    UserError : it is in an object store, it is in the home or holds it or the current folder, it is
        a file, or it cannot be read.
    """
    if is_uri(output):
        raise UserError(f"--output is {shown(output)}: give a folder of this machine")
    try:
        target = Path(output).expanduser().resolve()
        for kept in (paths.home(), paths.datasets(), paths.held_out(), paths.studies()):
            place = kept.resolve()
            if target.is_relative_to(place) or place.is_relative_to(target):
                raise UserError(
                    f"--output is {shown(output)}, which is in the home of mmsr or holds it "
                    f"({paths.home()}): name another folder"
                )
        if not target.exists():
            return target, set()
        if Path.cwd().is_relative_to(target):  # who works there would be left in what was replaced
            raise UserError(
                f"--output is {shown(output)}, which this command runs in: name another"
            )
        if not target.is_dir():
            raise UserError(f"{output} is a file: name a folder")
        return target, files_in(target)
    except (OSError, RuntimeError, ValueError) as error:  # e.g. a loop of links, a NUL, no home
        if isinstance(error, UserError):
            raise
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"--output is {shown(output)}: {reason}") from None


def files_in(folder: Path) -> set[str]:
    """Names of all files and links below a folder, from there, with slashes.

    Parameters
    ----------
    folder : links to folders in it are not followed.

    Raises
    ------
    OSError : a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise error

    return {
        path.relative_to(folder).as_posix()
        for root, folders, files in os.walk(folder, onerror=fail)
        for path in (Path(root, name) for name in (*folders, *files))
        if path.is_symlink() or not path.is_dir()
    }


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Context with an empty folder that replaces `target` unless the block raises.

    Parameters
    ----------
    target : what `check_output` has returned.

    Raises
    ------
    UserError : it cannot be written.
    """
    try:
        with drafting(target) as draft:
            new, old = draft / "new", draft / _OLD
            new.mkdir()
            yield new
            if target.exists():
                target.rename(old)
            try:
                new.rename(target)
            except OSError:
                if target.exists():
                    raise UserError(
                        f"another command has written {target} meanwhile: run this one again to "
                        "replace it"
                    ) from None
                raise
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {reason_of(error)}; name a folder with space that you can "
            "write to"
        ) from None


@contextmanager
def drafting(target: Path) -> Iterator[Path]:
    """Context with a new hidden folder beside a file or folder to write, which goes at the end.

    Those that killed processes have left for the same target go first.

    Parameters
    ----------
    target : what is to be written; its folder is made where it is missing.

    Raises
    ------
    OSError : the folder cannot be made.
    """
    prefix = f".{target.name[:40]}.{sha256(os.fsencode(target.name)).hexdigest()[:12]}.draft-"
    target.parent.mkdir(parents=True, exist_ok=True)
    for lock in target.parent.glob(f"{glob.escape(prefix)}*/{_LOCK}"):
        with suppress(*_NO_LOCK), paths.if_free(lock) as is_left:
            if is_left:
                _give_back(lock.with_name(_OLD), target)
                shutil.rmtree(lock.parent, ignore_errors=True)
    with ExitStack() as stack:
        draft = _locked_folder(target.parent, prefix, stack)
        try:
            yield draft
        finally:
            stack.close()  # first: on NFS, a file that is open cannot be removed
            with suppress(OSError):  # what is not given back stays for the next command
                _give_back(draft / _OLD, target)
                shutil.rmtree(draft, ignore_errors=True)


def _locked_folder(parent: Path, prefix: str, stack: ExitStack) -> Path:
    """A new folder, its lock held; another if a command takes one for left before it is locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            is_ours = stack.enter_context(paths.if_free(folder / _LOCK))
        except _NO_LOCK:
            is_ours = folder.exists()
        if is_ours:
            return folder


def _give_back(old: Path, target: Path) -> None:
    """Move what was to be replaced back to its place, if nothing has replaced it."""
    if old.exists() and not target.exists():
        old.rename(target)


def _record_in(folder: Path) -> ExportRecord | None:
    try:
        return ExportRecord.model_validate_json((folder / RECORD_FILE).read_bytes())
    except (OSError, ValidationError):
        return None

"""Removing and renaming data sets, with their test parts and the records of its openings.

The record of openings outlives the data set: it is found by content, under whatever name, so a test
that was opened counts as opened when the same data are imported again. A rename takes it along.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from mmsr import paths
from mmsr.care.changes import Change, Name, Step, check_local, remove_folder
from mmsr.care.in_use import check_unneeded, listed, only_writer, studies_of
from mmsr.care.sizes import size_of
from mmsr.data import catalog
from mmsr.data.folders import RECORD_FILE, check_name, test_file
from mmsr.data.manifest import MANIFEST_FILE
from mmsr.errors import UserError, unknown
from mmsr.format import data_size
from mmsr.paths import NAME


class _DatasetChange(Change):
    name: Name
    manifest: str
    """Hash of the data set's manifest; another data set of the same name has another one."""

    @property
    def _folder(self) -> Path:
        return paths.datasets() / self.name

    def _is(self, folder: Path) -> bool:
        """Whether a folder is that of the data set that is to be changed."""
        return _hash_of(folder) == self.manifest


class RemoveDataset(_DatasetChange):
    """Removes a data set and its test part; the record of its openings stays."""

    kind: Literal["remove data set"] = "remove data set"
    force: bool = False
    """Whether studies that need the data set do not matter, unless they are running."""

    @property
    def title(self) -> str:
        """What is being done."""
        return f"removing data set {self.name!r}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody writes the data set inside this context."""
        with only_writer(self.name):
            yield

    def check(self) -> None:
        """Refuse a data set that changed meanwhile, or that studies need."""
        _check_same(self)
        check_unneeded(self.name, force=self.force)

    def is_begun(self) -> bool:
        """Whether the folder is out of the way."""
        return not self._is(self._folder)

    def steps(self) -> Sequence[Step]:
        """Move the folder out of the way, remove the test part, remove the folder's files."""
        return [self._move_away, self._remove_test, self._remove_files]

    @property
    def _doomed(self) -> Path:
        # As an abandoned draft, which whoever locks the data set removes.
        return self._folder.with_name(f".{self.name}.draft-removed")

    def _move_away(self) -> Sequence[str]:
        if self._is(self._folder):
            self._folder.rename(self._doomed)
        return ()

    def _remove_test(self) -> Sequence[str]:
        if self._folder.exists():  # it was imported again meanwhile
            return ()
        part = test_file(self.name)
        part.unlink(missing_ok=True)
        if part.with_name(RECORD_FILE).exists():
            return [f"the record of test's openings stays in {part.parent}"]
        if part.parent.is_dir() and not any(part.parent.iterdir()):
            part.parent.rmdir()
        return ()

    def _remove_files(self) -> Sequence[str]:
        return remove_folder(self._doomed)


class RenameDataset(_DatasetChange):
    """Renames a data set, its test part and the record of its openings."""

    kind: Literal["rename data set"] = "rename data set"
    new: Name

    @property
    def title(self) -> str:
        """What is being done."""
        return f"renaming data set {self.name!r} to {self.new!r}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody writes a data set of either name inside this context."""
        with ExitStack() as stack:
            for name in sorted({self.name, self.new}):
                stack.enter_context(only_writer(name))
            yield

    def check(self) -> None:
        """Refuse a data set that changed meanwhile or that studies need, and a name in use."""
        _check_same(self)
        if self._to.exists():
            raise UserError(f"there is a data set {self.new!r} already: choose another name")
        if test_file(self.new).exists():
            raise UserError(
                f"{test_file(self.new)} is the test part of a data set {self.new!r} that is gone: "
                "move it away, or choose another name"
            )
        if needed := studies_of(self.name):
            raise UserError(
                f"data set {self.name!r} is needed under this name by {listed(needed)}: remove "
                "the studies first, or keep the name"
            )

    def is_begun(self) -> bool:
        """Whether the test part has moved."""
        return test_file(self.new).exists() or not self._is(self._folder)

    def steps(self) -> Sequence[Step]:
        """Move the test part, then the record of its openings, then the data set's folder."""
        return [self._move_test, self._move_record, self._move_folder]

    @property
    def _to(self) -> Path:
        return paths.datasets() / self.new

    def _move_test(self) -> Sequence[str]:
        old, new = test_file(self.name), test_file(self.new)
        if self._is(self._folder) and old.exists():
            new.parent.mkdir(parents=True, exist_ok=True)
            old.rename(new)
        return ()

    def _move_record(self) -> Sequence[str]:
        old, new = (test_file(name).with_name(RECORD_FILE) for name in (self.name, self.new))
        if not (self._is(self._folder) and old.exists()):
            return ()
        new.parent.mkdir(parents=True, exist_ok=True)
        if new.exists():  # of a data set that was removed: both are kept
            before, moved = _lines(new), _lines(old)
            if not before.endswith(moved):
                paths.write_whole(new, before + moved, durably=True)
            old.unlink()
        else:
            old.rename(new)
        if not any(old.parent.iterdir()):
            old.parent.rmdir()
        return ()

    def _move_folder(self) -> Sequence[str]:
        if self._is(self._folder):
            self._folder.rename(self._to)
        part = test_file(self.name).parent
        if part.is_dir() and not any(part.iterdir()):
            part.rmdir()
        return ()


def removal(name: str, *, force: bool = False) -> RemoveDataset:
    """The removal of a data set.

    Parameters
    ----------
    name : name of the data set.
    force : remove it even if studies need it; one that is running still refuses.

    Raises
    ------
    UserError : there is no such data set, or it is in use.
    """
    check_local(f"removing data set {name!r}")
    change = RemoveDataset(name=name, manifest=_known(name), force=force)
    check_unneeded(name, force=force)
    return change


def renaming(name: str, new: str) -> RenameDataset:
    """The renaming of a data set.

    Parameters
    ----------
    name, new : its name, and the one that it is to have.

    Raises
    ------
    UserError : there is no such data set, or it cannot have that name.
    """
    check_name(new)
    if name == new:
        raise UserError(f"the data set is called {new!r} already: give another name")
    return RenameDataset(name=name, manifest=_known(name), new=new)


def described(name: str) -> str:
    """What a data set is, and how large, in one line.

    Parameters
    ----------
    name : name of the data set.
    """
    try:
        counts = catalog.manifest(name).counts
        what = (
            f"{counts.users:,} users, {counts.items:,} items, {counts.interactions:,} interactions"
        )
    except UserError:
        what = "its manifest is damaged"
    n_bytes = size_of(paths.datasets() / name) + size_of(test_file(name))
    told = f"data set {name}: {what}, {data_size(n_bytes)} with its test part"
    needed = studies_of(name)
    return f"{told}; {listed(needed)} cannot be resumed or tested without it" if needed else told


def _check_same(change: _DatasetChange) -> None:
    if _known(change.name) != change.manifest:
        raise UserError(f"data set {change.name!r} was changed meanwhile: give the command again")


def _known(name: str) -> str:
    """Hash of a data set's manifest, if there is a data set of this name."""
    if (found := _hash_of(paths.datasets() / name)) is None or not NAME.fullmatch(name):
        raise unknown("data set", name, catalog.names(), where=paths.searched())
    return found


def _hash_of(folder: Path) -> str | None:
    try:
        return hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _lines(path: Path) -> bytes:
    """The lines of a file, the last one ended even if its writer was killed."""
    data = path.read_bytes()
    return data if data.endswith(b"\n") or not data else data + b"\n"

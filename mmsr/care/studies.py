"""Removing and renaming studies: state, folder, files that name them, experiment in MLflow.

The storage comes first. A study that is gone from there, or has another name there, while its
folder is still in place is refused by whoever would run it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from mmsr import paths
from mmsr.care import experiments, storage_names
from mmsr.care.changes import Change, Name, Step, check_local
from mmsr.care.sizes import size_of
from mmsr.care.study_files import rewrite
from mmsr.errors import UserError, unknown
from mmsr.format import data_size, plural
from mmsr.study.results.finalized import read_final
from mmsr.study.storage.driver_lock import claimed
from mmsr.study.storage.folder import StudyFolder, StudyRecord, study_names
from mmsr.study.storage.known_study import storage_url, tracking_url
from mmsr.tracking.shipment import unshipped
from mmsr.urls import Url

_OTHER_NAME = ", or give --name for another study"
"""What the locks advise, which is of no use here."""


class _StudyChange(Change):
    record: StudyRecord

    @property
    def name(self) -> str:
        """The study's name."""
        return self.record.name

    @property
    def _url(self) -> Url:
        return storage_url(self.name, self.record)

    @property
    def _names(self) -> tuple[str, ...]:
        """Names under which the study may be found."""
        return (self.name,)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody runs the study, or a part of it, inside this context."""
        with ExitStack() as stack:
            try:
                for name in self._names:
                    if (folder := StudyFolder(name)).path.exists():
                        stack.enter_context(folder.locked())
                        self._hold_parts(folder, stack)
                for name in self._names:
                    for one in sorted({name, *storage_names.uids_in(self._url, name)}):
                        stack.enter_context(claimed(self._url, one))
            except UserError as error:
                told = str(error)
                if not told.endswith(_OTHER_NAME):
                    raise
                raise UserError(
                    told.removesuffix(_OTHER_NAME).replace(", stop", " or stop")
                ) from None
            yield

    def check(self) -> None:
        """Refuse a study that changed meanwhile, or that a storage cannot change as a whole."""
        record = StudyFolder(self.name).read_record()
        if record is None or record.uid != self.record.uid:
            raise UserError(f"study {self.name!r} was changed meanwhile: give the command again")
        if self._is_stored():
            storage_names.check_can_change(self._url, self.name)

    def is_begun(self) -> bool:
        """Whether the storage has no such study under its name any more."""
        return not self._is_stored()

    def _hold_parts(self, folder: StudyFolder, stack: ExitStack) -> None:
        for path in sorted(folder.path.glob("*/lock")):
            try:
                stack.enter_context(FileLock(path, blocking=False))
            except Timeout:
                raise UserError(
                    f"study {folder.name!r}: its part {path.parent.name!r} is being run by another "
                    "process: wait for it or stop it"
                ) from None

    def _is_stored(self) -> bool:
        """Whether the storage has the study under its name."""
        return storage_names.uids_in(self._url, self.name).get(self.name) == self.record.uid

    def _folder(self) -> StudyFolder | None:
        """The study's folder under its name; None if it is there no more."""
        folder = StudyFolder(self.name)
        record = folder.read_record()
        return folder if record is not None and record.uid == self.record.uid else None


class RemoveStudy(_StudyChange):
    """Removes a study's trials and folder; its runs stay in MLflow."""

    kind: Literal["remove study"] = "remove study"

    @property
    def title(self) -> str:
        """What is being done."""
        return f"removing study {self.name!r}"

    def steps(self) -> Sequence[Step]:
        """Delete the trials, move the folder out of the way, remove its files."""
        return [self._delete, self._move_away, self._remove_files]

    @property
    def _doomed(self) -> Path:
        return paths.studies() / f".{self.name}.removed-{self.record.uid[:8]}"

    def _delete(self) -> Sequence[str]:
        if self._is_stored():
            storage_names.delete(self._url, self.name)
        return ()

    def _move_away(self) -> Sequence[str]:
        if (folder := self._folder()) is not None:
            folder.path.rename(self._doomed)
        return ()

    def _remove_files(self) -> Sequence[str]:
        shutil.rmtree(self._doomed, ignore_errors=True)
        there = tracking_url(None, self.record.tracking)
        return [f"its runs stay in MLflow ({there}), experiment {self.name!r}"]


class RenameStudy(_StudyChange):
    """Renames a study in its storage, on disk and in MLflow."""

    kind: Literal["rename study"] = "rename study"
    new: Name

    @property
    def title(self) -> str:
        """What is being done."""
        return f"renaming study {self.name!r} to {self.new!r}"

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.name, self.new)

    def check(self) -> None:
        """Refuse a study that changed meanwhile or is lost, and a name that is in use."""
        super().check()
        if StudyFolder(self.new).path.exists():
            raise UserError(f"{StudyFolder(self.new).path} is in the way: choose another name")
        if not self._is_stored():
            raise UserError(f"{self._url} has lost study {self.name!r}: restore it, or remove it")
        storage_names.check_can_rename(self._url, self.name, self.new)
        experiments.check_can_rename(self._tracking, self.new)

    def steps(self) -> Sequence[Step]:
        """Rename it in the storage, rewrite its files, rename folder and experiment."""
        return [self._rename, self._rewrite, self._move, self._rename_experiment]

    @property
    def _tracking(self) -> Url:
        return tracking_url(None, self.record.tracking)

    def _rename(self) -> Sequence[str]:
        if self._is_stored():
            storage_names.rename(self._url, self.name, self.new)
        return ()

    def _rewrite(self) -> Sequence[str]:
        if (folder := self._folder()) is not None:
            rewrite(folder, self.new)
        return ()

    def _move(self) -> Sequence[str]:
        if (folder := self._folder()) is not None:
            folder.path.rename(StudyFolder(self.new).path)
        return ()

    def _rename_experiment(self) -> Sequence[str]:
        return experiments.rename(self._tracking, self.name, self.new, self.record.uid)


def removal(name: str) -> RemoveStudy:
    """The removal of a study.

    Parameters
    ----------
    name : name of the study.

    Raises
    ------
    UserError : there is no such study, or it is being run.
    """
    check_local(f"removing study {name!r}")
    change = RemoveStudy(record=_known(name))
    with change.held():
        change.check()
    return change


def renaming(name: str, new: str) -> RenameStudy:
    """The renaming of a study.

    Parameters
    ----------
    name, new : its name, and the one that it is to have.

    Raises
    ------
    UserError : there is no such study, or it cannot have that name.
    """
    StudyFolder(new)  # a bad name is refused here
    if name == new:
        raise UserError(f"the study is called {new!r} already: give another name")
    return RenameStudy(record=_known(name), new=new)


def described(change: RemoveStudy) -> str:
    """What a study is, how large, and what is lost with it, in one line.

    Parameters
    ----------
    change : the removal of the study.
    """
    folder, record = StudyFolder(change.name), change.record
    told = (
        f"study {change.name}: {record.objective} on {record.dataset}, trials in "
        f"{storage_url(change.name, record)}, {data_size(size_of(folder.path))} of checkpoints and "
        "records"
    )
    if (result := read_final(folder.finalized).result) is not None:
        told += f", test figures of {plural(len(result.configs), 'config')}"
    if waiting := unshipped(folder.path).waiting:
        told += f"; {plural(waiting, 'event')} would never reach MLflow"
    return told


def _known(name: str) -> StudyRecord:
    record = StudyFolder(name).read_record()
    if record is None:
        raise unknown("study", name, study_names(), where=paths.searched())
    return record

"""Removing and renaming studies: state, folder, files that name them, experiment in MLflow.

The storage comes first. A study that is gone from there, or has another name there, while its
folder is still in place is refused by whoever would run it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from mmsr import paths
from mmsr.care import experiments, storage_names
from mmsr.care.changes import Change, Name, Step, check_local, remove_folder
from mmsr.care.in_use import only_runner
from mmsr.care.sizes import size_of
from mmsr.care.study_files import check_can_rename, hash_of_record, rewrite
from mmsr.errors import UserError, unknown
from mmsr.format import data_size, plural
from mmsr.study.results.finalized import read_final
from mmsr.study.storage.driver_lock import claimed
from mmsr.study.storage.folder import StudyFolder, StudyRecord, study_names
from mmsr.study.storage.known_study import storage_url, tracking_url
from mmsr.tracking.journal.shipment import unshipped
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
                        stack.enter_context(only_runner(folder))
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
        notes = remove_folder(self._doomed)
        there = tracking_url(None, self.record.tracking)
        return [*notes, f"its runs stay in MLflow ({there}), experiment {self.name!r}"]


class RemoveDamagedStudy(Change):
    """Removes the folder of a study whose record is damaged; its trials cannot be found."""

    kind: Literal["remove damaged study"] = "remove damaged study"
    name: Name
    record: str
    """Hash of the damaged record."""

    @property
    def title(self) -> str:
        """What is being done."""
        return f"removing study {self.name!r}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody runs the study, or a part of it, inside this context."""
        folder = StudyFolder(self.name)
        with only_runner(folder) if folder.path.exists() else nullcontext():
            yield

    def check(self) -> None:
        """Refuse a study whose record changed meanwhile."""
        if self.is_begun():
            raise UserError(f"study {self.name!r} was changed meanwhile: give the command again")

    def is_begun(self) -> bool:
        """Whether the folder is out of the way."""
        return hash_of_record(self.name) != self.record

    def steps(self) -> Sequence[Step]:
        """Move the folder out of the way, remove its files."""
        return [self._move_away, self._remove_files]

    @property
    def _doomed(self) -> Path:
        return paths.studies() / f".{self.name}.removed-{self.record[:8]}"

    def _move_away(self) -> Sequence[str]:
        if not self.is_begun():
            StudyFolder(self.name).path.rename(self._doomed)
        return ()

    def _remove_files(self) -> Sequence[str]:
        return [*remove_folder(self._doomed), "its trials stay in the storage"]


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
        check_can_rename(StudyFolder(self.name), self.new)
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


def removal(name: str) -> RemoveStudy | RemoveDamagedStudy:
    """The removal of a study.

    Parameters
    ----------
    name : name of the study.

    Raises
    ------
    UserError : there is no such study, or it is being run.
    """
    check_local(f"removing study {name!r}")
    change: RemoveStudy | RemoveDamagedStudy
    try:
        change = RemoveStudy(record=_known(name))
    except UserError:
        if (record := hash_of_record(name)) is None:
            raise
        change = RemoveDamagedStudy(name=name, record=record)
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


def described(change: RemoveStudy | RemoveDamagedStudy) -> str:
    """What a study is, how large, and what is lost with it, in one line.

    Parameters
    ----------
    change : the removal of the study.
    """
    folder = StudyFolder(change.name)
    if isinstance(change, RemoveDamagedStudy):
        return (
            f"study {change.name}: its study.json is damaged, so its trials stay in their storage; "
            f"{data_size(size_of(folder.path))} of checkpoints and records"
        )
    record = change.record
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

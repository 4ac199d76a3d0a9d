"""Who uses a data set or a study: processes that write it, studies that need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from filelock import FileLock, Timeout

from mmsr.data.folders import locked
from mmsr.data.progress import Silent
from mmsr.errors import UserError
from mmsr.paths import NAME
from mmsr.study.storage.folder import StudyFolder, study_names


class _Refusing(Silent):
    """Refuses to wait for another process that writes the data set."""

    def __init__(self, name: str) -> None:
        self._name = name

    def note(self, message: str) -> None:
        """Refuse: an import is what there would be to wait for."""
        raise UserError(
            f"data set {self._name!r} is being written by another process, e.g. an import: wait "
            "for it, or stop it"
        )


@contextmanager
def only_writer(name: str) -> Iterator[None]:
    """Context in which nobody else writes a data set; what a killed import left is removed first.

    Parameters
    ----------
    name : name of the data set.

    Raises
    ------
    UserError : another process writes it.
    """
    with locked(name, _Refusing(name)):
        yield


@contextmanager
def only_runner(folder: StudyFolder) -> Iterator[None]:
    """Context in which nobody runs a study, or a part of it, from this home.

    Parameters
    ----------
    folder : the study's folder, which is there.

    Raises
    ------
    UserError : another process does.
    """
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        for path in sorted(folder.path.glob("*/lock")):
            try:
                stack.enter_context(FileLock(path, blocking=False))
            except Timeout:
                raise UserError(
                    f"study {folder.name!r}: its part {path.parent.name!r} is being run by another "
                    "process: wait for it or stop it"
                ) from None
        yield


def studies_of(name: str) -> list[str]:
    """Names of the home's studies that need a data set, also of those that cannot be read.

    Parameters
    ----------
    name : name of the data set.
    """
    found = []
    for study in filter(NAME.fullmatch, study_names()):  # a copy of another name runs nowhere
        try:
            record = StudyFolder(study).read_record()
        except UserError:  # it may be one of them
            found.append(study)
            continue
        if record is not None and record.dataset == name:
            found.append(study)
    return found


def check_unneeded(name: str, *, force: bool) -> None:
    """Refuse to remove a data set that studies need.

    Parameters
    ----------
    name : name of the data set.
    force : whether only those count that are running.

    Raises
    ------
    UserError : studies need it; names them.
    """
    needed = studies_of(name)
    if running := [study for study in needed if StudyFolder(study).is_running()]:
        raise UserError(f"data set {name!r} is used by {listed(running)}, running now: stop it")
    if needed and not force:
        raise UserError(
            f"data set {name!r} is needed by {listed(needed)}: remove the studies first, or give "
            "--force"
        )


def listed(studies: Sequence[str]) -> str:
    """Studies in words: `study a`, `studies a and b`, `studies a, b, c and 4 more`.

    Parameters
    ----------
    studies : their names, of one at least.
    """
    shown = list(studies[:3])
    if len(studies) > 3:
        shown.append(f"{len(studies) - 3} more")
    word = "study" if len(studies) == 1 else "studies"
    return f"{word} {' and '.join(filter(None, (', '.join(shown[:-1]), shown[-1])))}"

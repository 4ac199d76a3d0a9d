"""Removals and renames of several steps, each of which survives being killed at any moment.

A change is recorded in `$MMSR_HOME/changes` before its first step, and the record goes after its
last one. A step that was done before does nothing, so whoever finds a record carries the change out
again: the next `mmsr` command does. One that was
interrupted before its first step is dropped: meanwhile, somebody may use what it was to change. One
process at a time changes a home.
"""

from __future__ import annotations

import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mmsr import paths
from mmsr.data.closed import refuse_in_trial
from mmsr.data.folders import cannot
from mmsr.errors import StorageLost, UserError

Step = Callable[[], Sequence[str]]
"""Does one thing, or nothing if it was done before; returns notes for the user."""


Name = Annotated[str, Field(pattern=f"^{paths.NAME.pattern}$")]
"""Name of a data set or a study."""


class Change(BaseModel, ABC):
    """A removal or a rename, as it is recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    @abstractmethod
    def title(self) -> str:
        """What is being done, in words, e.g. `removing data set 'toys'`."""

    @abstractmethod
    def held(self) -> AbstractContextManager[None]:
        """Context in which nobody else uses what is changed.

        Raises
        ------
        UserError : somebody does; says who.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise UserError if the change cannot be carried out; nobody else uses what it changes."""

    @abstractmethod
    def is_begun(self) -> bool:
        """Whether the first step was done: from then on, the change cannot be dropped."""

    @abstractmethod
    def steps(self) -> Sequence[Step]:
        """The steps in their order; the first is done wholly or not at all."""


def carry_out(change: Change) -> list[str]:
    """Carry out a change, or refuse it before anything is done.

    Parameters
    ----------
    change : the removal or rename.

    Returns
    -------
    Notes for the user.

    Raises
    ------
    UserError : the change cannot be carried out. Where it failed on its way, the message says that
        the next command goes on with it.
    """
    refuse_in_trial()
    check_local(change.title)
    with _only_change(), change.held():
        change.check()
        record = paths.changes() / f"{uuid.uuid4().hex}.json"
        try:
            paths.write_whole(record, change.model_dump_json(indent=1).encode(), durably=True)
        except OSError as error:
            raise cannot("write to", record.parent, error) from None
        notes: list[str] = []
        for place, step in enumerate(change.steps()):
            try:
                notes += step()
            except (UserError, OSError) as error:
                if place == 0:  # nothing has been done
                    record.unlink(missing_ok=True)
                    raise
                raise _unfinished(change, error) from None
            except StorageLost as error:  # it may have been done all the same
                raise _unfinished(change, error, ", or drops it if nothing was done") from None
        record.unlink()
        return notes


def go_on(change: Change) -> list[str]:
    """Carry out what is left of a change that was interrupted; returns notes for the user.

    Parameters
    ----------
    change : the removal or rename.

    Raises
    ------
    UserError, OSError, StorageLost : it cannot be carried out now.
    """
    with change.held():
        return [note for step in change.steps() for note in step()]


@contextmanager
def unless_busy() -> Iterator[bool]:
    """Context in which no other process changes the home; False where one is, or nobody can."""
    with ExitStack() as stack:
        try:
            free = stack.enter_context(paths.if_free(paths.changes() / ".lock"))
        except OSError:
            free = False
        yield free


def remove_folder(folder: Path) -> list[str]:
    """Remove a folder with its files; of a link, only the link.

    Parameters
    ----------
    folder : the folder; nothing happens where there is none.

    Returns
    -------
    Where files are that stay.

    Raises
    ------
    OSError : something of it cannot be removed.
    """
    if folder.is_symlink():
        there = folder.resolve()
        folder.unlink()
        return [f"it was a link: its files stay in {there}"]
    if folder.exists():
        shutil.rmtree(folder)
    return []


def check_local(what: str) -> None:
    """Refuse a home in an object store, where no lock tells who uses what.

    Parameters
    ----------
    what : what is refused, e.g. ``"removing data set 'toys'"``.

    Raises
    ------
    UserError : the home is in an object store.
    """
    if paths.remote() is not None:
        raise UserError(
            f"{what}: the home is in an object store ({paths.searched()}), where no lock tells "
            "which machine uses it: stop all studies and use the store's own tools"
        )


@contextmanager
def _only_change() -> Iterator[None]:
    try:
        paths.changes().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot("write to", paths.changes(), error) from None
    with unless_busy() as free:
        if not free:
            raise UserError(
                f"another command is removing or renaming something in {paths.home()}: wait for it"
            )
        for draft in paths.changes().glob(".*.draft"):  # of a process that was killed at once
            draft.unlink(missing_ok=True)
        yield


def _unfinished(change: Change, error: Exception, unless: str = "") -> UserError:
    return UserError(f"{change.title}: {error}; the next mmsr command goes on with it{unless}")

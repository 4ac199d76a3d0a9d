"""The record of who opened a test part, when and what for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress

from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr import paths
from mmsr.data.dataset import Dataset
from mmsr.data.folders import RECORD_FILE, SetApart, append_line, cannot, locked
from mmsr.data.mirror import is_within_reach
from mmsr.data.progress import Silent
from mmsr.errors import UserError, reason_of
from mmsr.provenance import now
from mmsr.remote import AnyPath

_RECORD_FOLDER = "openings"


class RecordedOpening(BaseModel):
    """One opening of a test part."""

    model_config = ConfigDict(frozen=True)

    at: str
    """Time in UTC."""
    who: str
    """The command or program."""
    why: str
    """What it was opened for, e.g. `study toys: trials 3, 5`."""
    dataset: str
    """Name of the data set."""
    content_hash: str
    host: str = ""
    user: str = ""
    version: str = ""
    commit: str = ""


def record(opening: RecordedOpening) -> None:
    """Add an opening to the record of its data set, durably.

    Parameters
    ----------
    opening : what is recorded.

    Raises
    ------
    UserError : it cannot be written, so test stays closed.
    """
    home = paths.remote()
    line = opening.model_dump_json()
    here = paths.held_out() / opening.dataset / RECORD_FILE
    place: AnyPath = here
    try:
        if home is not None:
            folder = home / paths.HELD_OUT / opening.dataset / _RECORD_FOLDER
            place = folder / f"{opening.at.replace(':', '')}-{uuid.uuid4().hex[:8]}.json"
            place.write_text(line)
        else:
            with locked(opening.dataset, Silent()):  # nobody removes or renames the data set now
                append_line(here, line)
    except OSError as error:
        raise UserError(
            f"test of data set {opening.dataset!r} stays closed, since its opening cannot be "
            f"recorded in {place}: {reason_of(error)}"
        ) from None


def openings(dataset: Dataset) -> tuple[RecordedOpening, ...]:
    """When the test part was opened, under any name that the same content has or had.

    Parameters
    ----------
    dataset : a prepared data set.

    Returns
    -------
    By time. A damaged entry counts as an opening, of whatever data set.

    Raises
    ------
    UserError : a record cannot be read.
    """
    found = (one for one in _of_content(dataset) if isinstance(one, RecordedOpening))
    return tuple(sorted(found, key=lambda one: one.at))


def set_apart_at(dataset: Dataset) -> str | None:
    """When the test part was moved out of the data set's folder, under any name of the content.

    Earlier versions of mmsr had it there, and kept no record of its openings.

    Parameters
    ----------
    dataset : a prepared data set.

    Returns
    -------
    Time in UTC of the latest move: now, if the home's object store has it there still; None if
    there was none.

    Raises
    ------
    UserError : a record cannot be read.
    """
    if is_within_reach(dataset.path):
        return now()
    found = (one.set_apart_at for one in _of_content(dataset) if isinstance(one, SetApart))
    return max(found, default=None)


def _of_content(dataset: Dataset) -> list[RecordedOpening | SetApart]:
    """What the records say of the data set's content, damaged entries included."""
    return [one for one in _recorded() if one.content_hash in (dataset.content_hash, "")]


def _recorded() -> Iterator[RecordedOpening | SetApart]:
    """The records of all data sets of the home."""
    home = paths.remote()
    try:
        if home is not None:
            for folder in (home / paths.HELD_OUT).glob("*"):
                for one in (folder / _RECORD_FOLDER).glob("*.json"):
                    yield _entry(one.read_bytes().decode(errors="replace"), one)
        else:
            for file in sorted(paths.held_out().glob(f"*/{RECORD_FILE}")):
                # `splitlines` would split a line at U+2028 and the like, too.
                for line in file.read_text(errors="replace").split("\n"):
                    if line:
                        yield _entry(line, file)
    except OSError as error:
        raise cannot("read the openings of test in", paths.held_out(), error) from None


def _entry(text: str, place: AnyPath) -> RecordedOpening | SetApart:
    for kind in (RecordedOpening, SetApart):
        with suppress(ValidationError):
            return kind.model_validate_json(text)
    return RecordedOpening(
        at="unknown",
        who="unknown",
        why=f"damaged entry in {place}",
        dataset="",
        content_hash="",
    )

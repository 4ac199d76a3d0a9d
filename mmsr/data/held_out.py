"""The test part of a data set: opened by one function, and every opening on record.

    $MMSR_HOME/held-out/NAME/test.arrow        the test part
    $MMSR_HOME/held-out/NAME/openings.jsonl    the record, one line for each opening

In an object store, these are `held-out/NAME/HASH/test.arrow` and one object for each opening under
`held-out/NAME/openings/`. An opening is recorded before test is read; where it cannot be recorded,
test stays closed. Inside a trial, test stays closed, too.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr import __version__, paths
from mmsr.data.closed import TEST_FILE, refuse_in_trial
from mmsr.data.dataset import Dataset, flat
from mmsr.data.folders import cannot, locked, reason_of, test_file
from mmsr.data.mirror import published_test
from mmsr.data.progress import Silent
from mmsr.data.splits import Prefixes, prefixes_between
from mmsr.data.storage import content_hash, read_arrow
from mmsr.errors import UserError
from mmsr.provenance import code_version, now, user
from mmsr.remote import AnyPath, RemotePath

RECORD_FILE = "openings.jsonl"
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


def open_test(dataset: Dataset, *, who: str, why: str) -> Prefixes:
    """Record that the test part is opened, then open it.

    No other function reads the test part. Each test target gets its whole history, development data
    included.

    Parameters
    ----------
    dataset : a prepared data set.
    who : the command or program, e.g. ``"mmsr study finalize"``.
    why : what test is opened for, e.g. ``"study toys: trials 3, 5"``.

    Returns
    -------
    Examples whose targets are test items.

    Raises
    ------
    UserError : this is a trial's process, the test part is missing, damaged or of other content, or
        the opening cannot be recorded.
    """
    place = _find(dataset)
    _record(
        RecordedOpening(
            at=now(),
            who=who,
            why=why,
            dataset=dataset.name,
            content_hash=dataset.content_hash,
            host=socket.gethostname(),
            user=user(),
            version=__version__,
            commit=code_version().get("commit", ""),
        )
    )
    table = _read(place, dataset)
    _check_content(place, dataset, table)
    test, test_offsets = flat(table)
    seen, seen_offsets = flat(_development(dataset))
    n_test, n_seen = np.diff(test_offsets), np.diff(seen_offsets)
    offsets = seen_offsets + test_offsets
    items = np.empty(offsets[-1], dtype=np.int32)
    from_test = np.arange(len(items)) - np.repeat(offsets[:-1], n_seen + n_test) >= np.repeat(
        n_seen, n_seen + n_test
    )
    items[from_test], items[~from_test] = test, seen
    return prefixes_between(items, offsets, n_seen, n_seen + n_test)


def check_test(dataset: Dataset) -> None:
    """Check that the test part is there, without opening it.

    Parameters
    ----------
    dataset : a prepared data set.

    Raises
    ------
    UserError : this is a trial's process, or the test part is missing.
    """
    _find(dataset)


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
    found = [one for one in _recorded() if one.content_hash in (dataset.content_hash, "")]
    return tuple(sorted(found, key=lambda one: one.at))


def _find(dataset: Dataset) -> AnyPath:
    """Where the test part is, once what an interrupted import left is in order."""
    refuse_in_trial()
    if paths.remote() is not None:
        place: AnyPath | None = published_test(dataset.path)
        if place is not None:
            return place
    else:
        with locked(dataset.name, Silent()):
            place = test_file(dataset.name)
        if place.is_file():
            return place
    where = place or f"{paths.searched()}/{paths.HELD_OUT}/{dataset.name}"
    raise UserError(
        f"data set {dataset.name!r} lacks its test part ({where}): import it again with "
        f"{dataset.manifest.provenance.command(dataset.name)}"
    )


def _read(place: AnyPath, dataset: Dataset) -> pa.Table:
    try:
        local = isinstance(place, Path)
        with pa.memory_map(str(place)) if local else pa.BufferReader(place.read_bytes()) as source:
            return pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error).splitlines()[0]
        again = dataset.manifest.provenance.command(dataset.name)
        raise UserError(f"cannot read {place}: {reason}; import it again with {again}") from None


def _development(dataset: Dataset) -> pa.Table:
    return read_arrow(dataset.path / dataset.manifest.development_file)


def _check_content(place: AnyPath, dataset: Dataset, test: pa.Table) -> None:
    """Raise UserError unless the data set and this test part have the content of its manifest."""
    manifest, path = dataset.manifest, dataset.path
    rest = [
        "items.arrow",
        "users.arrow",
        *(f"features/{name}.arrow" for name in manifest.modalities),
    ]
    tables = {manifest.development_file: _development(dataset), TEST_FILE: test}
    tables |= {file: read_arrow(path / file) for file in rest}
    if content_hash(manifest.protocol, tables) != manifest.content_hash:
        raise UserError(
            f"{place} and {path} do not make up the content {manifest.content_hash[:12]} that the "
            f"manifest states: import it again with {manifest.provenance.command(dataset.name)}"
        )


def _record(opening: RecordedOpening) -> None:
    """Add an opening to the record of its data set, durably."""
    home = paths.remote()
    line = opening.model_dump_json()
    path: AnyPath = test_file(opening.dataset).with_name(RECORD_FILE)
    try:
        if home is not None:
            folder = home / paths.HELD_OUT / opening.dataset / _RECORD_FOLDER
            path = folder / f"{opening.at.replace(':', '')}-{uuid.uuid4().hex[:8]}.json"
            path.write_text(line)
        else:
            _append(test_file(opening.dataset).with_name(RECORD_FILE), f"{line}\n".encode())
    except OSError as error:
        raise UserError(
            f"test of data set {opening.dataset!r} stays closed, since its opening cannot be "
            f"recorded in {path}: {reason_of(error)}"
        ) from None


def _append(path: Path, line: bytes) -> None:
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a process was killed while it wrote
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _recorded() -> Iterator[RecordedOpening]:
    """All openings of all data sets of the home."""
    home = paths.remote()
    try:
        if home is not None:
            for folder in (home / paths.HELD_OUT).glob("*"):
                for one in (folder / _RECORD_FOLDER).glob("*.json"):
                    yield _opening(one.read_text(), one)
        else:
            for file in sorted(paths.held_out().glob(f"*/{RECORD_FILE}")):
                for line in file.read_text(errors="replace").splitlines():
                    yield _opening(line, file)
    except OSError as error:
        raise cannot("read the openings of test in", paths.held_out(), error) from None


def _opening(text: str, place: Path | RemotePath) -> RecordedOpening:
    try:
        return RecordedOpening.model_validate_json(text)
    except ValidationError:
        return RecordedOpening(
            at="unknown",
            who="unknown",
            why=f"damaged entry in {place}",
            dataset="",
            content_hash="",
        )

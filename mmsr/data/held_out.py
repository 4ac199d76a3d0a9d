"""The test part of a data set: opened by one function, and every opening on record.

    $MMSR_HOME/held-out/NAME/test.arrow        the test part
    $MMSR_HOME/held-out/NAME/openings.jsonl    the record, one line for each opening, and one where
                                               an earlier version kept no record (`SetApart`)

In an object store, these are `held-out/NAME/HASH/test.arrow` and one object for each opening under
`held-out/NAME/openings/`. An opening is recorded before test is read; where it cannot be recorded,
test stays closed. Inside a trial, test stays closed, too.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmsr import paths
from mmsr.data.closed import TEST_FILE, refuse_in_trial
from mmsr.data.dataset import Dataset, flat
from mmsr.data.folders import (
    locked,
    test_file,
)
from mmsr.data.mirror import published_test
from mmsr.data.openings import RecordedOpening, record
from mmsr.data.progress import Silent
from mmsr.data.splits import COLD_ITEMS, Prefixes, targets_between
from mmsr.data.storage import content_hash, joined, read_arrow, without_moments
from mmsr.errors import UserError, reason_of
from mmsr.provenance import code_version, now, user
from mmsr.remote import AnyPath
from mmsr.version import __version__


def open_test(
    dataset: Dataset, *, who: str, why: str, recorded: Callable[[], None] = lambda: None
) -> Prefixes:
    """Record that the test part is opened, then open it.

    No other function but `open_test_table` reads the test part. Each test target gets its whole
    history, development data included.

    Parameters
    ----------
    dataset : a prepared data set.
    who : the command or program, e.g. ``"mmsr study finalize"``.
    why : what test is opened for, e.g. ``"study toys: trials 3, 5"``.
    recorded : called when the opening is on record and nothing of test has been read yet, to record
        it elsewhere too.

    Returns
    -------
    Examples whose targets are test items.

    Raises
    ------
    UserError : this is a trial's process, the test part is missing, the development data is damaged
        or of another size, or the opening cannot be recorded. In these cases, test stays closed.
        When it is open: the test part is damaged or of other content.
    """
    seen_table, table = open_test_table(dataset, who=who, why=why, recorded=recorded)
    test, ends = flat(table)
    seen, starts = flat(seen_table)
    n_seen = np.diff(starts)
    items = joined(seen, starts, test, ends)
    n_all = n_seen + np.diff(ends)
    return targets_between(dataset.protocol, items, starts + ends, n_seen, n_all)


def open_test_table(
    dataset: Dataset, *, who: str, why: str, recorded: Callable[[], None] = lambda: None
) -> tuple[pa.Table, pa.Table]:
    """Record that the test part is opened, then open it: as `open_test`, for whole tables.

    Returns
    -------
    Development data and the test part, a row for each user.
    """
    place = _find(dataset)
    tables = _tables(dataset)
    record(
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
    recorded()
    table = _read(place, dataset)
    _check_content(dataset, tables, table)
    return tables[dataset.manifest.development_file], table


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


def _tables(dataset: Dataset) -> dict[str, pa.Table]:
    """All tables but the test part by file name, checked as far as that goes without it."""
    manifest = dataset.manifest
    files = [manifest.development_file, "items.arrow", "users.arrow"]
    files += (f"features/{name}.arrow" for name in manifest.modalities)
    tables = {file: read_arrow(dataset.path / file) for file in files}
    lengths = np.diff(flat(tables[manifest.development_file])[1])
    n = manifest.counts
    n_rows = tuple(tables[file].num_rows for file in files[:3])
    other = np.maximum(lengths - 1, 0).sum() - n.train_targets - n.valid_targets
    if n_rows != (n.users, n.items, n.users) or (other and dataset.protocol != COLD_ITEMS):
        raise _other_content(dataset, "the development data does not have")
    return tables


def _check_content(dataset: Dataset, tables: dict[str, pa.Table], test: pa.Table) -> None:
    """Raise UserError unless the tables and this test part have the content of the manifest."""
    first, *rest = tables  # test is second in the order of `prepare`
    whole = {first: without_moments(tables[first]), TEST_FILE: without_moments(test)}
    whole |= {file: tables[file] for file in rest}
    if content_hash(dataset.protocol, whole) != dataset.content_hash:
        raise _other_content(dataset, "the test part and the development data do not make up")


def _other_content(dataset: Dataset, what: str) -> UserError:
    return UserError(
        f"data set {dataset.name!r}: {what} the content {dataset.content_hash[:12]} that the "
        f"manifest states: import it again with {dataset.manifest.provenance.command(dataset.name)}"
    )

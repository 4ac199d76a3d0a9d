"""What in the home can go: nobody needs it, and nobody is using it.

- what killed imports, removals and writers have left behind;
- files of trials that nothing reads any more (`mmsr.care.checkpoints`);
- cached codes and places of prefixes that fit no data set of the home.

What a running study, an import, a removal or a computation of codes uses is locked, and left alone.
Drafts have no lock: they count as abandoned by their age.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from mmsr import paths
from mmsr.care import checkpoints
from mmsr.care.changes import remove_folder, unless_busy
from mmsr.care.in_use import only_writer
from mmsr.care.sizes import files_in, is_abandoned, total_of
from mmsr.data import Dataset, catalog
from mmsr.data.importers import scratch
from mmsr.errors import UserError, reason_and_file
from mmsr.format import data_size
from mmsr.study.storage.folder import study_names

_IMPORT = re.compile(rf"\.({paths.NAME.pattern})\.(draft-.*|old)")
_REMOVED = re.compile(rf"\.({paths.NAME.pattern})\.removed-[0-9a-f]{{8}}")
_DRAFT = re.compile(r"\..*\.draft|.*\.partial|tracking\.(refused\.)?draft")
"""Names of files that are written first, and renamed when they are complete."""


@dataclass(frozen=True)
class Leftover:
    """Something that can go."""

    what: str
    """What it is, in words."""
    places: Sequence[Path]
    """The files and folders that it consists of."""
    clear: Callable[[], object]
    """Removes them, but for what somebody uses now."""
    n_bytes: int = field(init=False)
    """Their size when they were found."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_bytes", total_of(self.places))

    def remove(self) -> None:
        """Remove it.

        Raises
        ------
        UserError : some of it stays, as somebody uses it now or it cannot be removed.
        """
        try:
            self.clear()
        except OSError as error:
            raise UserError(f"{self.what}: {reason_and_file(error)}") from None
        if left := total_of(self.places):
            raise UserError(f"{self.what}: {data_size(left)} could not be removed")

    @property
    def gone(self) -> int:
        """Bytes of it that are gone by now."""
        return self.n_bytes - total_of(self.places)


def leftovers(notice: Callable[[str], None] = lambda _: None) -> list[Leftover]:
    """Everything that can go now; what is locked is left out.

    Parameters
    ----------
    notice : called with a message for each data set and study that cannot be looked at.
    """
    found = [*_of_imports(), *_of_removals(), *_drafts()]
    for name in study_names():
        try:
            left = checkpoints.unneeded(name)
        except UserError as error:
            notice(f"study {name} is left alone: {error}")
            continue
        for what, files in left.items():
            remove = partial(checkpoints.remove, name)
            found.append(Leftover(f"{what} of study {name}", files, remove))
    try:
        found += _caches()
    except UserError as error:  # what a damaged data set needs is not known
        notice(f"the caches are left alone: {error}")
    return [one for one in found if one.n_bytes]


def _of_imports() -> Iterator[Leftover]:
    """Drafts, replaced data sets, test parts that wait for one, and temporary files."""
    there: dict[str, list[Path]] = {}
    for path in paths.datasets().glob(".*"):
        if named := _IMPORT.fullmatch(path.name):
            is_needed = named[2] == "old" and not (paths.datasets() / named[1]).exists()
            if not is_needed:
                there.setdefault(named[1], []).append(path)
    for path in paths.held_out().glob("*/.*.arrow*"):
        there.setdefault(path.parent.name, []).append(path)
    for name, left in sorted(there.items()):
        if not _is_locked(paths.datasets() / f".{name}.lock"):
            what = f"left by an interrupted import of {name}"
            yield Leftover(what, left, partial(_tidy, name))

    yield Leftover("files of interrupted imports", scratch.abandoned(), scratch.tidy)


def _tidy(name: str) -> None:
    with only_writer(name):  # which removes what a killed import has left
        pass


def _of_removals() -> Iterator[Leftover]:
    for path in sorted(paths.studies().glob(".*")):
        if named := _REMOVED.fullmatch(path.name):
            what = f"left by an interrupted removal of study {named[1]}"
            yield Leftover(what, [path], partial(_remove_folder, path))


def _remove_folder(path: Path) -> None:
    with unless_busy() as free:
        if not free:
            raise UserError(f"{path} is being removed by another command: nothing is left to do")
        remove_folder(path)


def _drafts() -> Iterator[Leftover]:
    """Files that were not completed, of writers that are gone."""
    found = [
        path
        for folder in (paths.studies(), paths.trainings(), paths.home() / "cache")
        for entry in files_in(folder)
        if _DRAFT.fullmatch(entry.name) and is_abandoned(path := Path(entry.path))
    ]
    stores = [path for path in paths.home().glob(".*.draft-*") if is_abandoned(path)]
    remove = partial(_remove, found, stores)
    yield Leftover("abandoned drafts", [*found, *stores], remove)


def _remove(files: Sequence[Path], folders: Sequence[Path] = ()) -> None:
    for file in files:
        file.unlink(missing_ok=True)
    for folder in folders:
        remove_folder(folder)


def _caches() -> Iterator[Leftover]:
    """What was cached of data sets that are gone; another data set may need the same again.

    A cached file is named after a hash of what it was made of. Prefixes begin with the hash of the
    data set. Codes do not say whose they are, so they count as orphaned only if no modality of any
    data set has vectors for the same items.
    """
    datasets = [Dataset(paths.datasets() / name) for name in catalog.names()]
    hashes = {dataset.content_hash[:32] for dataset in datasets}
    prefixes = [
        path for path in paths.prefixes_cache().glob("*.arrow") if path.name[:32] not in hashes
    ]
    yield Leftover("prefixes of data sets that are gone", prefixes, partial(_remove, prefixes))
    codes = _orphaned_codes(datasets)
    yield Leftover("codes of data sets that are gone", codes, partial(_remove_codes, codes))


def _orphaned_codes(datasets: Sequence[Dataset]) -> list[Path]:
    having = [
        (dataset.n_items, np.asarray(dataset.features(modality).items))
        for dataset in datasets
        for modality in dataset.manifest.modalities
    ]
    return [
        path
        for path in sorted(paths.codes_cache().glob("*.safetensors"))
        if not _is_locked(path.with_name(f"{path.name}.lock")) and _fits_none(path, having)
    ]


def _fits_none(path: Path, having: Sequence[tuple[int, np.ndarray]]) -> bool:
    """Whether a file holds links of items that are not those of any modality."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            n_items = file.get_slice("links").get_shape()[0]
            if all(n_items != n for n, _ in having):
                return True
            linked = np.flatnonzero((file.get_tensor("links") >= 0).any(axis=1))
    except (OSError, SafetensorError):  # damaged, or of another version: it is not known whose
        return False
    return not any(n == n_items and np.array_equal(items, linked) for n, items in having)


def _remove_codes(files: Sequence[Path]) -> None:
    for path in files:
        with suppress(Timeout), FileLock(f"{path}.lock", blocking=False):
            path.unlink(missing_ok=True)


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with FileLock(path, blocking=False):
            return False
    except Timeout:
        return True
    except OSError:  # not for this user to write
        return True

"""Data sets of a home in an object store: published once, fetched by every machine that lacks them.

    datasets/NAME/manifest.json      the newest version, written last
    datasets/NAME/HASH/…             its files, which never change
    held-out/NAME/HASH/test.arrow    its test part, which no machine copies

Only the process that opens test reads the test part, straight from the store. Versions that an
earlier mmsr published have it beside the other files; it is read from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import StrictInt, StrictStr, TypeAdapter, ValidationError

from mmsr import paths
from mmsr.data.closed import TEST_FILE
from mmsr.data.folders import locked, replacing, test_file
from mmsr.data.manifest import MANIFEST_FILE, Manifest
from mmsr.data.progress import Silent
from mmsr.errors import UserError
from mmsr.remote import RemotePath, plain_name

_LIST, _HASHES = "files.json", "hashes.json"
"""Files with the sizes and the SHA-256 of a version's files by name, to check a copy; versions that
an earlier mmsr published have no hashes."""
_SIZES = TypeAdapter(dict[str, StrictInt])
_TEXTS = TypeAdapter(dict[str, StrictStr])
_AGAIN = "publish the data set again (mmsr data import --overwrite)"
T = TypeVar("T")


def published() -> list[str]:
    """Names of the data sets in the object store; none where the home is a folder."""
    home = paths.remote()
    if home is None:
        return []
    with _told("list the data sets"):
        listed = [path.name for path in (home / "datasets").glob("*")]
    return [name for name in listed if paths.NAME.fullmatch(name)]


def publish(folder: Path) -> None:
    """Copy a data set of this machine to the home's object store, unless it is there already.

    Use it inside `mmsr.data.folders.locked`. Nothing happens where the home is a folder.

    Parameters
    ----------
    folder : folder of the data set.

    Raises
    ------
    UserError : the store refuses.
    """
    home = paths.remote()
    if home is None:
        return
    with _told(f"publish data set {folder.name!r}"):
        place = home / "datasets" / folder.name
        text = (folder / MANIFEST_FILE).read_text()
        if _text(place / MANIFEST_FILE) == text:
            return
        version = _version(place, Manifest.read(folder))
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
        hashes = {name: _hash(folder / name) for name in sizes}
        for name in sizes:
            _inside(version, name).upload(folder / name)
        if (test := test_file(folder.name)).is_file():
            _held_out(home, folder.name, version.name).upload(test)
        (version / _HASHES).write_text(json.dumps(hashes))
        (version / _LIST).write_text(json.dumps(sizes))
        (place / MANIFEST_FILE).write_text(text)


def refresh(name: str) -> None:
    """Bring this machine's copy of a data set to the version in the object store.

    Parameters
    ----------
    name : name of the data set.

    Raises
    ------
    UserError : it cannot be fetched.
    """
    home = paths.remote()
    if home is None:
        return
    with _told(f"fetch data set {name!r}"):
        place = home / "datasets" / name
        text = _text(place / MANIFEST_FILE)
        if text is None or _is(paths.datasets() / name, text):
            return
        with locked(name, Silent()) as target:
            if _is(target, text):  # another process has fetched it meanwhile
                return
            with replacing(target) as draft:
                (draft / MANIFEST_FILE).write_text(text)
                manifest = Manifest.read(draft)
                _fetch(_version(place, manifest), draft)
            test_file(name).unlink(missing_ok=True)  # it belonged to what was replaced


def has_test(folder: Path) -> bool:
    """Whether a data set has its test part, on this machine or in the home's object store.

    Parameters
    ----------
    folder : folder of the data set on this machine.

    Raises
    ------
    UserError : the store cannot be asked.
    """
    return test_file(folder.name).is_file() or published_test(folder) is not None


def published_test(folder: Path) -> RemotePath | None:
    """The test part in the home's object store; None where it is not there, or the home is here.

    Parameters
    ----------
    folder : folder of the data set on this machine.

    Raises
    ------
    UserError : the store cannot be asked.
    """
    return _test_part(folder, apart=True) or _test_part(folder, apart=False)


def is_within_reach(folder: Path) -> bool:
    """Whether the home's object store has the test part beside the other files, as of before.

    Parameters
    ----------
    folder : folder of the data set on this machine.

    Raises
    ------
    UserError : the store cannot be asked.
    """
    return _test_part(folder, apart=False) is not None


def _test_part(folder: Path, *, apart: bool) -> RemotePath | None:
    """The test part in the home's object store, apart from the data set's files or beside them."""
    home = paths.remote()
    if home is None:
        return None
    with _told(f"find the test part of data set {folder.name!r}"):
        version = _version(home / "datasets" / folder.name, Manifest.read(folder))
        place = _held_out(home, folder.name, version.name) if apart else version / TEST_FILE
        return place if place.is_file() else None


def _held_out(home: RemotePath, name: str, version: str) -> RemotePath:
    return home / paths.HELD_OUT / name / version / TEST_FILE


def _fetch(version: RemotePath, folder: Path) -> None:
    sizes = _listed(version / _LIST, _SIZES)
    hashes = _listed(version / _HASHES, _TEXTS) if (version / _HASHES).is_file() else {}
    places = {name: _inside(version, name) for name in sizes}  # all names are checked first
    for name, size in sizes.items():
        if name == TEST_FILE:  # earlier versions of mmsr published it with the rest
            continue
        path = places[name].download(folder / name)
        if path.stat().st_size != size:
            raise UserError(f"{places[name]} has {path.stat().st_size} bytes, not {size}: {_AGAIN}")
        if name in hashes and _hash(path) != hashes[name]:
            raise UserError(f"{places[name]} has other contents than were published: {_AGAIN}")


def _listed(path: RemotePath, kind: TypeAdapter[dict[str, T]]) -> dict[str, T]:
    try:
        return kind.validate_json(path.read_bytes())
    except ValidationError:
        raise UserError(f"{path} is damaged: {_AGAIN}") from None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(place: RemotePath, manifest: Manifest) -> RemotePath:
    return place / plain_name(manifest.content_hash[:16], place / MANIFEST_FILE)


def _inside(folder: RemotePath, name: str) -> RemotePath:
    """The file of a folder that a list of files names, also if it is in a folder of that."""
    place = folder
    for part in name.split("/"):
        place = place / plain_name(part, folder / _LIST)
    return place


def _is(folder: Path, text: str) -> bool:
    try:
        return (folder / MANIFEST_FILE).read_text() == text
    except FileNotFoundError:
        return False


def _text(path: RemotePath) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"cannot {what} ({paths.remote()}): {reason}") from None

"""Public data sets are fetched: from their publishers, from a mirror or from a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mmsr.data.catalogue.entries import Entry, File, entry
from mmsr.data.catalogue.files import Another, Differs, verified, verify
from mmsr.data.catalogue.http import Download
from mmsr.data.catalogue.partial import Partial
from mmsr.data.catalogue.retries import Retries
from mmsr.data.folders import cannot, one_at_a_time
from mmsr.data.progress import Reporter, Silent
from mmsr.errors import UserError, shown, unknown
from mmsr.format import data_size
from mmsr.urls import Url, is_uri

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """A file that is there, complete and verified.

    Parameters
    ----------
    entry : the data set that it belongs to.
    file : which of its files it is.
    path : where it is.
    fresh : whether it came just now.
    """

    entry: Entry
    file: File
    path: Path
    fresh: bool


def fetch(
    names: Sequence[str],
    *,
    source: str | None = None,
    roles: Sequence[str] = (),
    reporter: Reporter | None = None,
    retries: Retries | None = None,
) -> list[Fetched]:
    """Fetch the files of public data sets into ``$MMSR_HOME/downloads/NAME``.

    What is there already is verified and not fetched again. A download that was interrupted goes on
    where it ended.

    Parameters
    ----------
    names : data sets of the catalogue.
    source : base URL of a mirror, or a folder, with files of the published names; by default, each
        file comes from its publisher.
    roles : which files, e.g. ``["reviews"]``; all by default.
    reporter : shows progress; by default, nothing is shown.
    retries : how often a server is asked again where it fails.

    Returns
    -------
    The files in the catalogue's order.

    Raises
    ------
    UserError : an unknown name or role, a bad source, a file that is not there, is another one or
        cannot be written, or a server that fails again and again.
    """
    reporter, retries = reporter or Silent(), retries or Retries()
    wanted = {entry(name): _chosen(entry(name), roles) for name in dict.fromkeys(names)}
    base = None if source is None else _source(source)
    if base is not None:
        _check_different(wanted)
    fetched = []
    for one, files in wanted.items():
        with _locked(one, reporter):
            fetched += [_fetch_file(one, file, base, reporter, retries) for file in files]
    return fetched


def _chosen(one: Entry, roles: Sequence[str]) -> list[File]:
    for role in roles:
        if role not in one.roles():
            raise unknown(f"file of {one.name!r}", role, one.roles())
    return [file for file in one.files if not roles or file.role in roles]


def _source(text: str) -> Url | Path:
    """The mirror or folder that `text` names."""
    if is_uri(text):
        if text.partition(":")[0] not in ("http", "https"):
            raise UserError(
                f"source {shown(text)} is no folder and no URL of HTTP: give a folder, or the base "
                "URL of a mirror: https://HOST/FOLDER"
            )
        return Url.parse(text, "source")
    folder = Path(text).expanduser().absolute()
    if not folder.is_dir():
        raise UserError(
            f"source {shown(text)} is no folder: give one with the published files, or the base "
            "URL of a mirror: https://HOST/FOLDER"
        )
    return folder


def _check_different(wanted: dict[Entry, list[File]]) -> None:
    """Check that all files can be in one place: some data sets publish different ones of a name."""
    owners: dict[str, Entry] = {}
    for one, files in wanted.items():
        for file in files:
            other = owners.setdefault(file.name, one)
            if other is not one:
                raise UserError(
                    f"{other.name!r} and {one.name!r} both have a file {file.name}: with --source, "
                    "fetch one after the other"
                )


@contextmanager
def _locked(one: Entry, reporter: Reporter) -> Iterator[None]:
    """Context with the exclusive right to write a data set's files."""
    folder = one.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot("write to", folder, error) from None
    lock = folder.with_name(f".{one.name}.lock")
    with one_at_a_time(lock, f"process that fetches {one.name!r}", reporter):
        yield


def _fetch_file(
    one: Entry, file: File, base: Url | Path | None, reporter: Reporter, retries: Retries
) -> Fetched:
    path = one.folder / file.name
    if path.exists():
        return Fetched(one, file, verified(one, file, reporter), fresh=False)
    partial = Partial(path)
    if isinstance(base, Path):
        _take(base / file.name, partial, reporter)
    else:
        url = file.url if base is None else f"{base.reveal()}/{quote(file.name)}"
        Download(Url.parse(url, "source"), file, partial).run(reporter, retries)
    try:
        verify(partial.path, path, file, reporter)
    except Differs as error:
        partial.discard()
        raise UserError(
            f"{error}; it was removed: run the command again, or name another source by --source"
        ) from None
    except Another as error:
        raise UserError(
            f"{error}, and is kept: if it is right, remove {path.name}.sha256, else the .part, and "
            "run the command again"
        ) from None
    try:
        partial.finish(path)
    except OSError as error:
        raise cannot("write", path, error) from None
    return Fetched(one, file, path, fresh=True)


def _take(origin: Path, partial: Partial, reporter: Reporter) -> None:
    """Take a file of a folder: as a hard link, or as a copy where that cannot be."""
    if not origin.is_file():
        raise UserError(f"there is no file {origin.name} in {origin.parent}, the --source")
    origin = origin.resolve()
    try:
        partial.discard()
        try:
            os.link(origin, partial.path)
        except OSError:  # e.g. another file system
            _copy(origin, partial.path, reporter)
    except OSError as error:
        partial.discard()
        raise cannot(f"copy {origin.name} to", partial.path.parent, error) from None


def _copy(origin: Path, target: Path, reporter: Reporter) -> None:
    length = origin.stat().st_size
    title = f"copying {origin.name} ({data_size(length)})"
    with (
        reporter.stage(title, length) as advance,
        origin.open("rb") as given,
        target.open("wb") as copy,
    ):
        while block := given.read(_BLOCK):
            copy.write(block)
            advance(len(block))

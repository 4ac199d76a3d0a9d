"""The files of public data sets on this machine: complete, and the same as at the first download.

Few publishers state checksums. So the SHA-256 of the first complete download is kept beside each
file, in ``FILE.sha256``, the format of `sha256sum`. Every later download must have the same. Where
no checksum is published, a file whose format shows that it is cut or damaged is refused before.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from mmsr.data.catalogue.entries import Entry, File
from mmsr.data.catalogue.whole import damage_of
from mmsr.data.folders import cannot
from mmsr.data.progress import Reporter
from mmsr.data.storage import file_sha256
from mmsr.errors import UserError
from mmsr.format import data_size
from mmsr.paths import write_whole

_BRIEF = 23
"""Characters of a checksum that errors show."""
_RECORD = re.compile(r"([0-9a-f]{64}) [ *]\S.*\n?")


class Differs(UserError):
    """Content is not the published one; the message says in what."""


class Another(UserError):
    """Content is not that of the first download, and which of them is right is not known."""


def verified(entry: Entry, file: File, reporter: Reporter) -> Path:
    """The place of a downloaded file whose content is the published one.

    Parameters
    ----------
    entry : the data set.
    file : one of its files.
    reporter : shows progress, since the whole file is read.

    Raises
    ------
    UserError : it was not fetched, cannot be read, or differs from the catalogue or from its first
        download.
    """
    path = entry.folder / file.name
    if not path.is_file():
        raise UserError(
            f"{file.name} of {entry.name!r} is not in {entry.folder}: "
            f"run `mmsr data fetch {entry.name}`"
        )
    try:
        verify(path, path, file, reporter)
    except Differs as error:
        raise UserError(f"{error}; remove it and run `mmsr data fetch {entry.name}`") from None
    except Another as error:
        raise UserError(
            f"{error}; if it is right, remove its .sha256, else remove it and run "
            f"`mmsr data fetch {entry.name}`"
        ) from None
    return path


def verify(content: Path, path: Path, file: File, reporter: Reporter) -> None:
    """Check content against the catalogue and the first download; record it if it is the first.

    Parameters
    ----------
    content : what is checked.
    path : where the file is kept; the record is beside it.
    file : what the catalogue says of it.
    reporter : shows progress.

    Raises
    ------
    Differs : it is not as published, or it is damaged.
    Another : no checksum is published, it is whole, and the first download had another content.
    UserError : it cannot be read or recorded.
    """
    first, digest = recorded(path), checked(content, file, reporter)
    if first == digest:
        return
    if file.checksum is None:
        _check_whole(content, file, reporter)
        if first is not None:
            raise Another(f"{content} has another SHA-256 than at the first download")
    _record(path, digest)


def _check_whole(content: Path, file: File, reporter: Reporter) -> None:
    try:
        damage = damage_of(content, file.name, reporter)
    except OSError as error:
        raise cannot("read", content, error) from None
    if damage is not None:
        raise Differs(f"{content} is cut or damaged: {damage}")


def checked(content: Path, file: File, reporter: Reporter) -> str:
    """The SHA-256 of content that has the size and checksum of the catalogue.

    Parameters
    ----------
    content : what is checked.
    file : what the catalogue says of it.
    reporter : shows progress.

    Raises
    ------
    Differs : it is another content.
    UserError : it cannot be read.
    """
    try:
        length = content.stat().st_size
        if not length:
            raise Differs(f"{content} is empty")
        if file.size is not None:
            _compare(content, f"{length:,} bytes", f"{file.size:,} bytes")
        with reporter.stage(f"checking {file.name} ({data_size(length)})", length) as advance:
            digest = file_sha256(content, advance)
        if file.checksum is not None:
            _compare(content, _checksum(content, file.checksum, digest), file.checksum)
    except OSError as error:
        raise cannot("read", content, error) from None
    return digest


def recorded(path: Path) -> str | None:
    """The SHA-256 of the first complete download; None where there was none.

    Parameters
    ----------
    path : where the file is kept.

    Raises
    ------
    UserError : the record cannot be read.
    """
    record = _record_of(path)
    try:
        text = record.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot("read", record, error) from None
    if (found := _RECORD.fullmatch(text)) is None:
        raise UserError(f"{record} is no line of `sha256sum`: remove it")
    return found[1]


def _record(path: Path, digest: str) -> None:
    record = _record_of(path)
    try:
        write_whole(record, f"{digest}  {path.name}\n".encode())
    except OSError as error:
        raise cannot("write", record, error) from None


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _checksum(content: Path, published: str, sha256: str) -> str:
    """The content's checksum, by the algorithm that its publisher uses."""
    algorithm = published.partition(":")[0]
    if algorithm == "sha256":
        return f"sha256:{sha256}"
    with content.open("rb") as opened:
        return f"{algorithm}:{hashlib.file_digest(opened, algorithm).hexdigest()}"


def _compare(content: Path, found: str, published: str) -> None:
    if found != published:
        raise Differs(f"{content} has {_brief(found)}, and the catalogue says {_brief(published)}")


def _brief(text: str) -> str:
    return text if len(text) <= _BRIEF else f"{text[:_BRIEF]}…"

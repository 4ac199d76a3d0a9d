"""Whether a file is whole, as far as its format shows."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path

from mmsr.data.catalogue.formats.image_records import RECORD
from mmsr.data.progress import Reporter
from mmsr.format import data_size

_BLOCK = 1 << 20
_DAMAGE = (EOFError, RuntimeError, ValueError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)
"""What the readers of packed files raise for damage; RuntimeError for what they cannot unpack."""


def damage_of(content: Path, name: str, reporter: Reporter) -> str | None:
    """What shows that a file is cut or damaged; None where nothing does.

    Packed files are unpacked to their end, which compares their own checksums. Image records are
    all of one length. Of other formats, a file that is cut looks whole.

    Parameters
    ----------
    content : the file.
    name : its published name, which shows the format.
    reporter : shows progress.

    Raises
    ------
    OSError : it cannot be read.
    """
    try:
        if name.endswith(".gz"):
            _unpack(content, name, reporter)
        elif name.endswith(".zip"):
            with zipfile.ZipFile(content) as archive:
                bad = archive.testzip()
            if bad is not None:
                return f"its {bad} has another checksum than the archive says"
        elif name.endswith(".b"):
            length = content.stat().st_size
            if length % RECORD:
                return f"its {length:,} bytes are no whole number of records of {RECORD:,}"
    except _DAMAGE as error:
        return f"it cannot be unpacked ({' '.join(str(error).split())[:100]})"
    return None


def _unpack(content: Path, name: str, reporter: Reporter) -> None:
    size, done = content.stat().st_size, 0
    with (
        reporter.stage(f"unpacking {name} ({data_size(size)}) to test it", size) as advance,
        content.open("rb") as raw,
        gzip.GzipFile(fileobj=raw) as file,
    ):
        while file.read(_BLOCK):
            advance(raw.tell() - done)
            done = raw.tell()

"""The formats of tables, by the ending of the file's name, and how their files are opened."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from mmsr.data.folders import cannot
from mmsr.errors import UserError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""What separates the columns of a text file, by its ending."""
UNQUOTED = (".tsv",)
"""Formats in which a quote is a character like any other."""
JSON = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
FORMATS = (*DELIMITERS, *JSON, *PARQUET)
"""Endings of the files that can be read; all but Parquet may be followed by `.gz`."""
BOM = b"\xef\xbb\xbf"
"""Mark at the beginning of UTF-8 text, which spreadsheets write."""
_ZIPPED = b"\x1f\x8b"
_PARQUET_MARK = b"PAR1"
_SAVE = "save it as CSV, TSV, JSONL or Parquet"
_UNPACK = "unpack it, or use gzip and a name that ends in .gz"
_MARKS = {
    b"ARROW1\0\0": ("an Arrow (Feather) file", "save it as Parquet"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", _SAVE),
    b"\xfd7zXZ": ("an xz file", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("a zstd file", _UNPACK),
    b"7z\xbc\xaf": ("a 7z archive", _UNPACK),
    b"\xff\xfe": ("UTF-16 text", "convert it to UTF-8"),
    b"\xfe\xff": ("UTF-16 text", "convert it to UTF-8"),
    b"SQLite format 3\0": ("an SQLite database", _SAVE),
    b"\x89HDF": ("an HDF5 file", _SAVE),
    b"\x93NUMPY": ("a NumPy file", _SAVE),
    b"%PDF-": ("a PDF document", _SAVE),
    b"<!DOCTYPE": ("a web page", "download the table itself"),
    b"<!doctype": ("a web page", "download the table itself"),
    b"<html": ("a web page", "download the table itself"),
}
"""What a file is by its first bytes, and what to do."""
_PATTERNS = {
    rb"PAR1(?s:.*)[\0-\x08]": ("a Parquet file", "rename it to .parquet"),
    rb"PARE(?s:.*)[\0-\x08]": ("an encrypted Parquet file", _SAVE),
    rb"BZh[1-9]1AY&SY": ("a bzip2 file", _UNPACK),
}
"""The same, where the first bytes could be those of a text, such as the column `PARENT_ASIN`."""


def check_format(path: Path, ending: str = "") -> str:
    """Check that a file can be read, has a known format, and is what its name says.

    Parameters
    ----------
    path : the file.
    ending : the ending that decides, where the file's name does not.

    Returns
    -------
    The ending that decides the format, without `.gz`.

    Raises
    ------
    UserError : it is missing, a folder, unreadable, of an unknown format, or plainly of another
        format than its name says.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give a file ({', '.join(FORMATS)})") from None
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except OSError as error:
        raise cannot("read", path, error) from None
    except ValueError:
        raise UserError(f"{str(path)!r} is no name of a file: give one") from None
    endings = [suffix.lower() for suffix in path.suffixes]
    zipped = endings[-1:] == [".gz"]
    ending = ending or "".join(endings[:-1][-1:] if zipped else endings[-1:])
    if ending not in FORMATS or (zipped and ending in PARQUET):
        raise UserError(
            f"unknown format of {path}: the name must end in "
            f"{', '.join(FORMATS)} (text may also end in .gz, e.g. .csv.gz)"
        )
    if zipped and head.startswith(_ZIPPED):
        head = b""
        with suppress(OSError, EOFError, zlib.error), gzip.open(path) as packed:
            head = packed.read(64)
    elif head.startswith(_ZIPPED):
        remedy = "unpack it" if ending in PARQUET else f"rename it to {path.name}.gz"
        raise UserError(f"{path} is a gzip file: {remedy}")
    if not (ending in PARQUET and head.startswith(_PARQUET_MARK)):
        _check_head(path, head)
    return ending


def _check_head(path: Path, head: bytes) -> None:
    """Refuse a file whose first bytes are those of another format, by that format's name."""
    if head.startswith(b"PK\x03\x04"):
        office = b"[Content_Types].xml" in head or b"mimetype" in head
        what, remedy = ("a spreadsheet", _SAVE) if office else ("a zip archive", _UNPACK)
        raise UserError(f"{path} is {what}: {remedy}")
    head = head.removeprefix(BOM)
    found = [said for mark, said in _MARKS.items() if head.startswith(mark)]
    found += [said for pattern, said in _PATTERNS.items() if re.match(pattern, head)]
    for what, remedy in found:
        raise UserError(f"{path} is {what}: {remedy}")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, which may be zipped, to read its bytes.

    Parameters
    ----------
    path : the file.
    """
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    file: BinaryIO = opener(path, "rb")
    return file


def open_text(path: Path, *, errors: str = "strict") -> TextIO:
    """Open a text file, which may be zipped; line breaks stay as they are.

    Parameters
    ----------
    path : the file.
    errors : what becomes of bytes that are not UTF-8, as for `open`.
    """
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    file: TextIO = opener(path, "rt", encoding="utf-8-sig", errors=errors, newline="")
    return file


def read_records(file: TextIO, ending: str) -> Iterator[tuple[int, list[str]]]:
    """All records of delimited text, the header included, each with the line where it begins.

    Parameters
    ----------
    file : the text.
    ending : the ending that decides the format.
    """
    if ending in UNQUOTED:
        reader = csv.reader(file, delimiter=DELIMITERS[ending], quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(file, delimiter=DELIMITERS[ending])
    begins = 1
    for fields in reader:
        if fields:
            yield begins, fields
        begins = reader.line_num + 1

"""The formats of tables, by the ending of the file's name."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, TextIO

from mmsr.data.folders import cannot
from mmsr.errors import UserError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""What separates the columns of a text file, by its ending."""
JSON = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
FORMATS = (*DELIMITERS, *JSON, *PARQUET)
"""Endings of the files that can be read; all but Parquet may be followed by `.gz`."""


def check_format(path: Path) -> str:
    """Check that a file can be read and has a known format.

    Parameters
    ----------
    path : the file.

    Returns
    -------
    The ending that decides the format, without `.gz`.

    Raises
    ------
    UserError : it is missing, a folder, unreadable, or of an unknown format.
    """
    try:
        with path.open("rb"):
            pass
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give a file ({', '.join(FORMATS)})") from None
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except OSError as error:
        raise cannot("read", path, error) from None
    endings = [suffix.lower() for suffix in path.suffixes]
    zipped = endings[-1:] == [".gz"]
    ending = "".join(endings[:-1][-1:] if zipped else endings[-1:])
    if ending not in FORMATS or (zipped and ending in PARQUET):
        raise UserError(
            f"unknown format of {path}: the name must end in "
            f"{', '.join(FORMATS)} (text also with .gz behind)"
        )
    return ending


def open_text(path: Path) -> TextIO:
    """Open a text file, which may be zipped; line breaks stay as they are.

    Parameters
    ----------
    path : the file.
    """
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    file: TextIO = opener(path, "rt", encoding="utf-8-sig", newline="")
    return file

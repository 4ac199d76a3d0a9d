"""Where a row stands in its file, as the user's editor counts."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsr.data.importers.readers.formats import (
    DELIMITERS,
    JSON,
    check_format,
    open_text,
    read_records,
)
from mmsr.errors import UserError

_UNREADABLE = (OSError, EOFError, zlib.error, csv.Error, ValueError)
"""Why Python's readers cannot say the line, e.g. since a field is too long for them."""


@dataclass(frozen=True)
class Rows:
    """Rows of a file, to name one of them in an error.

    Attributes
    ----------
    path : the file.
    numbers : int64, each row's number in the file, from 0; None where all rows were read.
    """

    path: Path
    numbers: NDArray[np.int64] | None = None

    def error(self, row: int, problem: str, remedy: str) -> UserError:
        """Build the error for a row: text is counted in lines, all else in rows from 1.

        Parameters
        ----------
        row : index of the row among those that were read.
        problem : what is wrong with it, e.g. ``"has no user_id"``.
        remedy : what to do.
        """
        row = row if self.numbers is None else int(self.numbers[row])
        if (line := line_of(self.path, row)) is not None:
            return UserError(f"{self.path}: line {line} {problem}: {remedy}")
        return UserError(
            f"{self.path}: row {row + 1} {problem}: {remedy} (rows are counted from 1)"
        )


@dataclass(frozen=True)
class RowCount:
    """What became of the rows of a file; every row is counted once.

    Attributes
    ----------
    file : name of the file.
    read : number of rows in the file.
    dropped : number of rows that a rule left out, by what they are.
    kept : number of rows in the data set.

    Raises
    ------
    RuntimeError : the numbers do not add up, which is an error of mmsr.
    """

    file: str
    read: int
    dropped: Mapping[str, int]
    kept: int

    def __post_init__(self) -> None:
        if self.read != self.kept + sum(self.dropped.values()):
            raise RuntimeError(f"rows were lost: {self}")

    def __str__(self) -> str:
        parts = [f"{count:,} {what}" for what, count in self.dropped.items() if count]
        total = " + ".join([*parts, f"{self.kept:,} kept"])
        return f"{self.file}: {self.read:,} rows read = {total}"


def line_of(path: Path, row: int, ending: str = "") -> int | None:
    """Line on which a row begins, from 1; None where lines mean nothing.

    Parameters
    ----------
    path : the file.
    row : number of the row, from 0, the header not counted.
    ending : the ending that decides the format, where the file's name does not.
    """
    ending = ending or check_format(path)
    if ending not in (*DELIMITERS, *JSON):
        return None
    try:
        with open_text(path, errors="surrogateescape") as file:
            if ending in JSON:
                lines = (number for number, text in enumerate(file, start=1) if text.strip())
                return next(islice(lines, row, None), None)
            return next(
                (line for line, _ in islice(read_records(file, ending), row + 1, None)), None
            )
    except _UNREADABLE:
        return None


def line_of_other_width(path: Path, ending: str) -> int | None:
    """Line of the first row with more or fewer columns than the header; None without one.

    Parameters
    ----------
    path : the file.
    ending : the ending that decides the format.
    """
    if ending not in DELIMITERS:
        return None
    try:
        with open_text(path, errors="surrogateescape") as file:
            records = read_records(file, ending)
            width = len(next(records)[1])
            return next((line for line, fields in records if len(fields) != width), None)
    except (*_UNREADABLE, StopIteration):
        return None

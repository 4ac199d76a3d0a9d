"""Where a row stands in its file, as the user's editor counts."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from mmsr.data.importers.tables import DELIMITERS, JSON, check_format, open_text
from mmsr.errors import UserError


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
        if (line := _line(self.path, row)) is not None:
            return UserError(f"{self.path}: line {line} {problem}: {remedy}")
        return UserError(
            f"{self.path}: row {row + 1} {problem}: {remedy} (rows are counted from 1)"
        )


def _line(path: Path, row: int) -> int | None:
    """Line on which a row begins, from 1; None where lines mean nothing."""
    ending = check_format(path)
    if ending not in (*DELIMITERS, *JSON):
        return None
    try:
        with open_text(path) as file:
            if ending in JSON:
                lines = (number for number, text in enumerate(file, start=1) if text.strip())
                return next(islice(lines, row, None), None)
            return next(islice(_lines(file, DELIMITERS[ending]), row + 1, None), None)
    except (OSError, csv.Error):  # e.g. a field that is too long for Python's reader
        return None


def _lines(file: TextIO, delimiter: str) -> Iterator[int]:
    """First lines of all records, the header included; a quoted field may hold line breaks."""
    reader = csv.reader(file, delimiter=delimiter)
    begins = 1
    for fields in reader:
        if fields:
            yield begins
        begins = reader.line_num + 1

"""What every foreign table can do: name its columns and rows, be hashed, and be read in pieces."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmsr.data.progress import Advance
from mmsr.data.storage import file_sha256

PIECE = 1 << 16
"""Rows that are read or written at once, where a format has no pieces of its own."""
COUNTED = "(rows are counted from 1)"
"""Ending of errors that name a row rather than a line."""


class Foreign(ABC):
    """A table that is written as one Parquet file before it is read like any other."""

    @property
    @abstractmethod
    def shown(self) -> str:
        """How messages name it, e.g. a path, a pattern or an argument."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name in counts of rows, shorter than `shown`."""

    @abstractmethod
    def check(self) -> None:
        """Check, as far as that is quick, that it can be read.

        Raises
        ------
        UserError : it cannot.
        """

    @abstractmethod
    def column_names(self) -> list[str]:
        """Names of the columns that it has, or answers to."""

    def recorded(self) -> str:
        """Its name in the data set's record, from which it is found again."""
        return os.path.abspath(self.shown)

    @property
    @abstractmethod
    def size(self) -> int:
        """Size in bytes."""

    @abstractmethod
    def fingerprint(self, advance: Advance) -> str:
        """SHA-256 of its content, in hexadecimal.

        Parameters
        ----------
        advance : called with the bytes that were hashed.
        """

    @abstractmethod
    def pieces(self, wanted: Collection[str]) -> Iterator[pa.Table]:
        """Yield its rows, in order, as tables of one schema.

        A column that is not among the wanted may come with its name alone, of type null.

        Parameters
        ----------
        wanted : names of the columns that are of use.

        Raises
        ------
        UserError : it cannot be read; the message names it.
        """

    @abstractmethod
    def place(self, row: int) -> tuple[str, str]:
        """Name a row, as the user counts.

        Parameters
        ----------
        row : its number among all rows that `pieces` has yielded, from 0.

        Returns
        -------
        file and line, or file and row; and how rows are counted, empty for lines.
        """


@dataclass(frozen=True)
class OneFile(Foreign):
    """A foreign table that is one file.

    Attributes
    ----------
    path : the file.
    """

    path: Path

    @property
    def shown(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def label(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.path.stat().st_size


def combined(kind: str, hashes: Iterable[str]) -> str:
    """SHA-256 over what a table is made of, in hexadecimal.

    Parameters
    ----------
    kind : how it is read; the same bytes read in another way are another table.
    hashes : hashes of its files, or other texts, in order.
    """
    return hashlib.sha256("\n".join([kind, *hashes]).encode()).hexdigest()


def hashed(kind: str, files: Iterable[Path], advance: Advance) -> str:
    """SHA-256 over files that are one table, in hexadecimal.

    Parameters
    ----------
    kind, files : see `combined`.
    advance : called with the bytes that were hashed.
    """
    return combined(kind, [file_sha256(path, advance) for path in files])


def with_names(columns: Mapping[str, pa.ChunkedArray], names: Iterable[str], rows: int) -> pa.Table:
    """A table of columns that were read, and of the names of those that were not.

    Parameters
    ----------
    columns : those that were read, by name.
    names : all names in order, each once.
    rows : number of rows.
    """
    return pa.table({name: columns.get(name, pa.nulls(rows)) for name in names})

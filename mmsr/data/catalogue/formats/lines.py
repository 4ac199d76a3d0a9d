"""Published text files, line by line: plain, in gzip files, or in a zip archive."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mmsr.data.folders import cannot
from mmsr.data.importers.readers.formats import BOM
from mmsr.data.progress import Reporter
from mmsr.errors import UserError, shown
from mmsr.format import data_size

LONGEST = 1 << 24
"""Most bytes of a line; no more of a file is in memory."""
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError)
"""What the readers of packed files raise for damage, beside RuntimeError for a password."""
_UNREADABLE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
"""What `json.loads` and `ast.literal_eval` raise for text of any kind."""


@dataclass(frozen=True)
class RawFile:
    """A published file, or one in a published archive.

    Attributes
    ----------
    path : the file or the archive.
    member : name within the archive; None for a file of its own.
    """

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path} ({self.member})"

    @property
    def name(self) -> str:
        """Its name without folders."""
        return Path(self.member or self.path).name

    def error(self, problem: str) -> UserError:
        """Build the error for content that no published file has.

        Parameters
        ----------
        problem : what is wrong, e.g. ``"line 3 is no JSON object"``.
        """
        return UserError(
            f"{self}: {problem}: the file is not as published; remove it and its .sha256, and "
            "fetch it again"
        )

    def lines(self, reporter: Reporter) -> Iterator[tuple[int, bytes]]:
        """Lines that are not blank, without their ends, each with its number from 1.

        A mark at the beginning of UTF-8 text and any kind of line end (LF, CRLF) are no part of a
        line.

        Parameters
        ----------
        reporter : shows the progress in bytes of the file.

        Raises
        ------
        UserError : the file cannot be read, is damaged or empty, or a line is longer than 16 MiB.
        """
        number = rows = 0
        with self.opened(reporter, lambda: f"line {number + 1}") as (file, advance):
            while line := file.readline(LONGEST):
                number += 1
                if len(line) == LONGEST:
                    raise self.error(f"line {number} is longer than {data_size(LONGEST)}")
                if number == 1:
                    line = line.removeprefix(BOM)
                if number % 1024 == 0:
                    advance()
                if line := line.strip():
                    rows += 1
                    yield number, line
        if not rows:
            raise self.error("it is empty")

    @contextmanager
    def opened(
        self, reporter: Reporter, place: Callable[[], str]
    ) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
        """Context with the content as bytes, and a function that shows how far it has been read.

        Parameters
        ----------
        reporter : shows the progress.
        place : says where reading has come to, for errors.

        Raises
        ------
        UserError : the file cannot be read or is damaged.
        """
        try:
            with self.path.open("rb") as raw:
                size = self.path.stat().st_size
                with reporter.stage(f"parsing {self.name}", size) as advance:
                    done = 0

                    def show() -> None:
                        nonlocal done
                        now = raw.tell()
                        advance(max(0, now - done))
                        done = max(done, now)

                    with self._unpacked(raw) as file:
                        yield file, show
                    advance(size - done)
        except IsADirectoryError:
            raise UserError(f"{self.path} is a folder: it must be the published file") from None
        except _DAMAGE as error:
            reason = " ".join(str(error).split())[:100]
            raise self.error(f"{place()} cannot be unpacked ({reason})") from None
        except OSError as error:
            raise cannot("read", self.path, error) from None

    @contextmanager
    def _unpacked(self, raw: BinaryIO) -> Iterator[BinaryIO]:
        if self.member is not None:
            with zipfile.ZipFile(raw) as archive, _member(archive, self.member) as packed:
                yield io.BufferedReader(packed)  # its own `readline` is slow with a limit
        elif self.path.suffix.lower() == ".gz":
            with gzip.GzipFile(fileobj=raw) as file:
                yield file  # type: ignore[misc]  # it reads bytes as every binary file
        else:
            yield raw

    def text(self, number: int, line: bytes, encoding: str = "utf-8") -> str:
        """Decode a line.

        Parameters
        ----------
        number : number of the line, for the error.
        line : its bytes.
        encoding : an encoding of text.

        Raises
        ------
        UserError : it is of another encoding.
        """
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            raise self.error(f"line {number} is not UTF-8 text") from None

    def object_of(self, number: int, line: bytes, parse: Callable[[str], Any]) -> dict[Any, Any]:
        """Read a line that holds an object.

        Parameters
        ----------
        number : number of the line, for the error.
        line : its bytes.
        parse : reads the text, e.g. `json.loads`.

        Raises
        ------
        UserError : it holds none.
        """
        text = self.text(number, line)
        try:
            row = parse(text)
        except _UNREADABLE:
            row = None
        if not isinstance(row, dict):
            raise self.error(f"line {number} is no object ({shown(text[:40])})")
        return row

    def records(self, columns: tuple[str, ...], reporter: Reporter) -> Iterator[tuple[int, Any]]:
        """Some columns of comma-separated text with a header; a record is one line.

        Parameters
        ----------
        columns : names of the columns.
        reporter : shows the progress.

        Yields
        ------
        number : number of the line.
        fields : list of the columns' texts, in the order of `columns`.

        Raises
        ------
        UserError : a column is missing, a line has more or fewer fields than the header, or quotes
            are not closed; or the file cannot be read.
        """
        names: list[str] = []
        places: list[int] = []
        for number, line in self.lines(reporter):
            fields = self.fields(number, self.text(number, line))
            if not names:
                names = fields
                if missing := [name for name in columns if name not in names]:
                    raise self.error(
                        f"line {number} names no column {missing[0]!r} ({shown(','.join(names))})"
                    )
                places = [names.index(name) for name in columns]
            elif len(fields) != len(names):
                raise self.error(
                    f"line {number} has {len(fields)} fields, and the header {len(names)}"
                )
            else:
                yield number, [fields[place] for place in places]

    def fields(self, number: int, text: str) -> list[str]:
        """Split a line at commas that are not in quotes.

        Parameters
        ----------
        number : number of the line, for the error.
        text : the line.

        Raises
        ------
        UserError : quotes are not closed, or stand within a field.
        """
        if '"' not in text:
            return text.split(",")
        try:
            return next(csv.reader([text], strict=True))
        except csv.Error as error:
            raise self.error(f"line {number} is no comma-separated text ({error})") from None


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    """Open a file of an archive; one with a password counts as damaged."""
    try:
        return archive.open(name)
    except RuntimeError as error:
        raise zipfile.BadZipFile(str(error)) from None


def member_of(path: Path, *names: str) -> RawFile:
    """Find a file in a zip archive by its name, in whatever folder it is.

    Parameters
    ----------
    path : the archive.
    names : names that the file may have, without folders.

    Raises
    ------
    UserError : the archive cannot be read, or has no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.rpartition("/")[2] in names:
                    return RawFile(path, member)
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: it must be the published file") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise RawFile(path).error(f"it is no zip archive ({error})") from None
    except OSError as error:
        raise cannot("read", path, error) from None
    raise RawFile(path).error(f"it holds no {' or '.join(names)}")

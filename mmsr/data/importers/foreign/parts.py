"""One table in several files: a pattern, or a folder that may be partitioned as Hive does it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from glob import glob
from itertools import accumulate
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from mmsr.data.importers.foreign.base import COUNTED, Foreign, hashed, with_names
from mmsr.data.importers.readers.formats import DELIMITERS, FORMATS, check_format
from mmsr.data.importers.readers.pieces import read_pieces
from mmsr.data.importers.readers.plain import common
from mmsr.data.importers.readers.rows import line_of
from mmsr.data.importers.readers.tables import column_names, listed
from mmsr.data.progress import Advance
from mmsr.errors import UserError

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""How Hive names the folder of the rows that have no value."""
WILD = "*?["
"""Characters that make a pattern of a name."""


@dataclass(frozen=True)
class Parts(Foreign):
    """Several files that are one table, read one after the other.

    Attributes
    ----------
    files : the files in the order of reading, one or more.
    pattern : the pattern or folder.
    base : folder below which the names of folders, such as `year=2020`, are columns.
    """

    files: tuple[Path, ...]
    pattern: str
    base: Path | None = None
    _rows: list[int] = field(default_factory=list, compare=False)
    """Rows of the files that have been read."""

    def __str__(self) -> str:
        return self.pattern

    @property
    def shown(self) -> str:
        """The pattern or folder."""
        return self.pattern

    @property
    def label(self) -> str:
        """Last part of the pattern or folder."""
        return Path(self.pattern).name or self.pattern

    def check(self) -> None:
        """Check that the files have the same columns.

        Raises
        ------
        UserError : they have not, or one of them cannot be read.
        """
        first, names = self.files[0], self.column_names()
        for path in self.files[1:]:
            theirs = self._names_of(path)
            if set(theirs) != set(names):
                lacking, name = next(
                    (where, name)
                    for where, ours, other in ((path, names, theirs), (first, theirs, names))
                    for name in ours
                    if name not in other
                )
                having = first if lacking == path else path
                raise UserError(
                    f"{lacking} has no column {listed([name])}, but {having} has: give files with "
                    "the same columns"
                )

    def column_names(self) -> list[str]:
        """Names of the columns of the first file, those of its folders included."""
        return self._names_of(self.files[0])

    @cached_property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(path.stat().st_size for path in self.files)

    def fingerprint(self, advance: Advance) -> str:
        """SHA-256 over the files and what their folders' names say."""
        kind = "\n".join(["parts", *(str(sorted(self._keys(path).items())) for path in self.files)])
        return hashed(kind, self.files, advance)

    def pieces(self, wanted: Collection[str]) -> Iterator[pa.Table]:
        """Yield the rows of one file after the other."""
        self._rows.clear()
        kinds, names = self.kinds(wanted), self.column_names()
        for path in self.files:
            self._rows.append(0)
            for piece in self.part(path, kinds):
                self._rows[-1] += piece.num_rows
                columns = {name: piece.column(name) for name in kinds}
                yield with_names(columns, names, piece.num_rows)

    def kinds(self, wanted: Collection[str]) -> dict[str, pa.DataType]:
        """Type of each column that is read, which all files' columns can be cast to.

        Parameters
        ----------
        wanted : names of the columns that are of use.

        Raises
        ------
        UserError : there is none, or a file cannot be read.
        """
        found: dict[str, pa.DataType] = {}
        seen: dict[str, Path] = {}
        for path in self.files:
            if check_format(path) in DELIMITERS and path != self.files[0]:
                kinds = dict.fromkeys(found, pa.large_string())  # all text, as in the first
            else:
                schema = next(self._read(path, wanted)).schema
                kinds = dict(zip(schema.names, schema.types, strict=True))
            for name, kind in kinds.items():
                try:
                    found[name] = common(found.get(name, kind), kind, mixed=False)
                except TypeError:
                    raise UserError(
                        f"{path}: {name} is {kind}, but in {seen[name]} it is {found[name]}: write "
                        "it in one way in all files"
                    ) from None
                seen.setdefault(name, path)
        return {name: kind for name, kind in found.items() if name in wanted}

    def part(self, path: Path, kinds: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
        """Yield the rows of one file.

        Parameters
        ----------
        path : one of the files.
        kinds : types of the columns to read, by name, as `kinds` finds them.

        Raises
        ------
        UserError : it cannot be read; the message names it.
        """
        for piece in self._read(path, kinds):
            table = piece.select([])
            for name, kind in kinds.items():
                table = table.append_column(name, _cast(piece.column(name), kind, name, path))
            yield table

    def note_rows(self, counts: Iterable[int]) -> None:
        """Note how many rows the files have, so that `place` can name one.

        Parameters
        ----------
        counts : rows of each file.
        """
        self._rows[:] = counts

    def place(self, row: int) -> tuple[str, str]:
        """Name the file of a row, and its line or row."""
        ends = list(accumulate(self._rows))
        which = bisect_right(ends, row)
        path = self.files[which]
        inside = row - (ends[which] - self._rows[which])
        line = line_of(path, inside)
        return (f"{path}: line {line}", "") if line else (f"{path}: row {inside + 1}", COUNTED)

    def _keys(self, path: Path) -> dict[str, str | None]:
        """Columns that the names of a file's folders stand for, and their value."""
        if self.base is None:
            return {}
        folders = path.relative_to(self.base).parts[:-1]
        pairs = (part.partition("=")[::2] for part in folders if "=" in part)
        return {name: None if text == _NO_VALUE else unquote(text) for name, text in pairs}

    def _names_of(self, path: Path) -> list[str]:
        names, keys = column_names(path), self._keys(path)
        if both := [name for name in keys if name in names]:
            raise UserError(
                f"{path} has a column {both[0]!r}, and so have its folders' names: keep one"
            )
        return [*names, *keys]

    def _read(self, path: Path, wanted: Collection[str]) -> Iterator[pa.Table]:
        keys = self._keys(path)
        for piece in read_pieces(path, wanted):
            for name, text in keys.items():
                if name in wanted:
                    value = pa.repeat(pa.scalar(text, pa.large_string()), piece.num_rows)
                    piece = piece.append_column(name, value)
            yield piece


def _cast(column: pa.ChunkedArray, kind: pa.DataType, name: str, path: Path) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        raise UserError(
            f"{path}: {name} has numbers that {kind} cannot hold: write it in one way in all files"
        ) from None


def in_folder(folder: Path) -> Path | Parts:
    """The table that is in the files of a folder.

    Parameters
    ----------
    folder : holds files of one format, perhaps in folders such as `year=2020`; names that begin
        with `.` or `_` are left out.

    Raises
    ------
    UserError : there are none, or a file is of no known format.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part[0] in "._" for part in path.relative_to(folder).parts)
    )
    if not found:
        raise UserError(
            f"{folder} has no files of a table: give a file, or a folder of {', '.join(FORMATS)}"
        )
    endings = {check_format(path): path for path in reversed(found)}
    if len(endings) > 1:
        one, other = sorted(endings.values())[:2]
        raise UserError(
            f"{folder} has files of several formats, {one.name} and {other.name}: give a pattern "
            f"in quotes, e.g. '{folder}/*{one.suffix}'"
        )
    partitioned = any("=" in part for path in found for part in path.relative_to(folder).parts[:-1])
    if len(found) == 1 and not partitioned:
        return found[0]
    return Parts(tuple(found), str(folder), folder if partitioned else None)


def matching(pattern: str) -> Path | Parts:
    """The table that is in the files that match a pattern.

    Parameters
    ----------
    pattern : as a shell reads it; `**` stands for any folders.

    Raises
    ------
    UserError : no file matches.
    """
    found = sorted(path for text in glob(pattern, recursive=True) if (path := Path(text)).is_file())
    if not found:
        raise UserError(f"no file matches {pattern!r}: correct it, or give a file")
    for path in found:
        check_format(path)
    return found[0] if len(found) == 1 else Parts(tuple(found), pattern)

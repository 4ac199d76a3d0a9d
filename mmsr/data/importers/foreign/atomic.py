"""Atomic files of RecBole and MMRec: text with tabs, whose header may name types."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from mmsr.data.importers.foreign.base import COUNTED, OneFile, hashed, with_names
from mmsr.data.importers.readers.delimited import read_header
from mmsr.data.importers.readers.formats import check_format
from mmsr.data.importers.readers.pieces import read_pieces
from mmsr.data.importers.readers.rows import line_of
from mmsr.data.importers.readers.tables import explained, listed
from mmsr.data.progress import Advance
from mmsr.errors import UserError

ENDINGS = (".inter", ".item")
"""Endings of files of interactions, and of items."""
_TSV = ".tsv"
_TYPES = ("token", "token_seq", "float", "float_seq")
_OTHER_NAMES = {
    "userID": "user_id",
    "itemID": "item_id",
    "iid": "item_id",
    "movie_title": "title",
    "name": "title",
    "category": "categories",
    "class": "categories",
    "genre": "categories",
    "genres": "categories",
}
"""What the published data sets call columns that mmsr knows under another name."""
_KIND = "(emb|embedding|feat|feature|features|vec|vector)"
_AFFIX = re.compile(f"^{_KIND}_|_{_KIND}$", re.IGNORECASE)
"""What the name of a column of vectors has beside the name of the modality."""
_QUOTED = r'^"(?:[^"]|"")*"$'


@dataclass(frozen=True)
class Atomic(OneFile):
    """A file with a header such as `user_id:token`, `item_id:token`, `timestamp:float`.

    Names come without their types, fields without quotes around the whole of them. A name that the
    published data sets use in place of mmsr's (`userID`, `movie_title`) is replaced, unless both
    are there or it is wanted as it is.

    Attributes
    ----------
    path : the file.
    vectors : of features, the column of type `float_seq` that holds them.
    """

    vectors: str | None = None

    @property
    def label(self) -> str:
        """The file's name, and the column of vectors."""
        return f"{self.path.name}, {self.vectors}" if self.vectors else self.path.name

    def check(self) -> None:
        """Check that it can be opened, and that the header is one of atomic files."""
        check_format(self.path, _TSV)
        self.columns  # noqa: B018  # reads and checks the header

    @cached_property
    def columns(self) -> dict[str, tuple[str, str]]:
        """Header and type of each column by its name; the type is empty where none is named.

        Raises
        ------
        UserError : the header is no header of an atomic file.
        """
        with explained(self.path, _TSV):
            header = read_header(self.path, _TSV)
        if not header:
            raise UserError(f"{self.path} is empty: give a table with at least one row")
        found: dict[str, tuple[str, str]] = {}
        typed = any(":" in text for text in header)
        for text in header:
            name, _, kind = text.rpartition(":") if typed else (text, "", "")
            if typed and (not name or kind not in _TYPES):
                raise UserError(
                    f"{self.path}: the header {listed([text])} is not NAME:TYPE with a type of "
                    f"{', '.join(_TYPES)}: correct the first line"
                )
            if name in found:
                raise UserError(f"{self.path} has two columns named {name!r}: rename one")
            found[name] = text, kind
        return found

    @property
    def typed(self) -> bool:
        """Whether the header names types, as RecBole's do."""
        return any(kind for _, kind in self.columns.values())

    def modalities(self) -> dict[str, str]:
        """Columns of vectors by the modality that they are of: `image_emb` is of `image`."""
        names = [name for name, (_, kind) in self.columns.items() if kind == "float_seq"]
        return {_AFFIX.sub("", name) or name: name for name in names}

    def column_names(self) -> list[str]:
        """Names without types, and mmsr's names for them."""
        return [*self.columns, *{*self._renamed(()).values()} - {*self.columns}]

    def fingerprint(self, advance: Advance) -> str:
        """SHA-256 of the file."""
        return hashed(f"atomic {self.vectors}", [self.path], advance)

    def pieces(self, wanted: Collection[str]) -> Iterator[pa.Table]:
        """Yield all rows."""
        names = self._renamed(wanted)
        headers = {self.columns[name][0]: shown for name, shown in names.items()}
        chosen = [header for header, shown in headers.items() if shown in wanted]
        for piece in read_pieces(self.path, chosen, _TSV):
            columns = {headers[name]: _unquoted(piece.column(name)) for name in chosen}
            yield with_names(columns, names.values(), piece.num_rows)

    def place(self, row: int) -> tuple[str, str]:
        """Name the line of a row."""
        line = line_of(self.path, row, _TSV)
        where = f"line {line}" if line else f"row {row + 1}"
        return f"{self.path}: {where}", "" if line else COUNTED

    def _renamed(self, wanted: Collection[str]) -> dict[str, str]:
        """Names by which the columns of use are known, by the file's names; vectors apart."""
        names: dict[str, str] = {}
        tokens = [name for name, (_, kind) in self.columns.items() if kind == "token"]
        for name, (_, kind) in self.columns.items():
            mine = _OTHER_NAMES.get(name, name)
            if self.vectors is not None and tokens == [name]:
                mine = "item_id"
            if self.vectors is not None:
                mine = "vector" if name == self.vectors else mine
                if mine not in ("item_id", "vector"):
                    continue
            elif kind == "float_seq":
                continue
            taken = name in wanted or mine in self.columns or mine in names.values()
            names[name] = name if taken else mine
        return names


def _unquoted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Fields without the quotes around them; two quotes within stand for one."""
    quoted = pc.match_substring_regex(column, _QUOTED)
    if not pc.any(quoted).as_py():
        return column
    inside = pc.replace_substring(pc.utf8_slice_codeunits(column, 1, -1), '""', '"')
    return pc.if_else(quoted, inside, column)

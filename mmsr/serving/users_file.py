"""Files of users to recommend for: with histories, or of users that the data set knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmsr.data.importers.readers.pieces import opened
from mmsr.data.importers.readers.plain import plain
from mmsr.data.importers.readers.tables import empty
from mmsr.errors import UserError
from mmsr.serving.options import Options, Read, read_items, read_users
from mmsr.serving.recommender import Recommender

ROWS = 1 << 16
"""Most users that are read and ranked at a time."""
RECOMMENDATIONS = 1 << 24
"""Most recommendations that are held at a time."""
USER, HISTORY = "user_id", "history"


@dataclass(frozen=True)
class Block:
    """Some of the users to recommend for.

    Attributes
    ----------
    keys : what each row of the answer names its user by: ids, or places in the file.
    read : the histories of those users that can be recommended for, with their places in `keys`.
    """

    keys: pa.Array
    read: Read


@dataclass(frozen=True)
class UsersFile:
    """A file of users: `user_id`, `history` or both.

    A history is a list of item ids, or a text of ids with blanks between them. Users without
    histories are those of the model's data set.

    Attributes
    ----------
    path : the file.
    names : which of the two columns it has.
    pieces : reads these from the beginning, in pieces.
    """

    path: Path
    names: list[str]
    pieces: Callable[[], Iterator[pa.Table]]

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """Context with a file of users.

        Parameters
        ----------
        path : CSV, TSV, JSONL (all also .gz) or Parquet.

        Raises
        ------
        UserError : the file cannot be read, or lacks both columns.
        """
        with opened(path, (HISTORY, USER)) as pieces:
            names = next(pieces()).column_names
            if HISTORY not in names and USER not in names:
                raise UserError(
                    f"{path} has neither a column `{HISTORY}` nor `{USER}`: give histories (lists "
                    "of item ids, or texts of ids with blanks between them), or ids of users"
                )
            yield cls(path, names, pieces)

    @property
    def key(self) -> str:
        """What names the users in the answer: `user_id`, or `history`, the place in the file."""
        return USER if USER in self.names else HISTORY

    def blocks(self, recommender: Recommender, options: Options) -> Iterator[Block]:
        """Read the file, block by block.

        Parameters
        ----------
        recommender : knows the items and users.
        options : what is refused, and what is skipped.

        Raises
        ------
        UserError : the file cannot be read or is empty, or something is refused.
        """
        has_histories, has_ids = HISTORY in self.names, self.key == USER
        if has_histories:
            recommender.check_reads_histories()
        first, rows = 0, _rows(recommender, options)
        for whole in self.pieces():
            for start in range(0, whole.num_rows, rows):
                table = whole.slice(start, rows)
                places = range(first, first + table.num_rows)
                keys = self._ids(table, first) if has_ids else pa.array(places)
                if has_histories:
                    read = self._histories(table, recommender, options, first)
                else:
                    users = recommender.known_users()
                    ids = keys.to_pylist()
                    read = read_users(users.find(keys), users.histories, options, ids)
                yield Block(keys, read)
                first += table.num_rows
        if not first:
            raise empty(self.path)

    def _ids(self, table: pa.Table, first: int) -> pa.Array:
        ids = self._texts(self._plain(table, USER), USER)
        lacking = pc.fill_null(pc.equal(ids, ""), True)
        if pc.any(lacking).as_py():
            row = first + pc.index(lacking, True).as_py()
            raise UserError(f"{self.path}: row {row + 1} has no {USER} (rows are counted from 1)")
        return ids

    def _histories(
        self, table: pa.Table, recommender: Recommender, options: Options, first: int
    ) -> Read:
        lists = self._plain(table, HISTORY)
        if not pa.types.is_large_list(lists.type):
            lists = _words(self._texts(lists, HISTORY))
        ids = self._texts(lists.flatten(), HISTORY)
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)

        def name_of(row: int) -> str:
            return f"{self.path}: row {first + row + 1}"

        return read_items(recommender.catalogue.find(ids), lengths, options, ids, name_of)

    def _plain(self, table: pa.Table, name: str) -> pa.Array:
        return plain(table.column(name), name, str(self.path)).combine_chunks()

    def _texts(self, values: pa.Array, name: str) -> pa.Array:
        """Ids as texts; whole numbers are written as such."""
        kind = values.type
        if not any(is_kind(kind) for is_kind in _IDS):
            raise UserError(
                f"{self.path}: {name} holds {kind}: give ids as texts, and histories as lists of "
                "them or as texts of ids with blanks between them"
            )
        return values.cast(pa.string())


_IDS = (pa.types.is_large_string, pa.types.is_string, pa.types.is_integer, pa.types.is_null)


def all_users(recommender: Recommender, options: Options) -> Iterator[Block]:
    """All users of the model's data set, block by block; those without a history are left out.

    Parameters
    ----------
    recommender : knows the users.
    options : what is recommended; `empty` does not count.

    Raises
    ------
    UserError : the users are not at hand.
    """
    users = recommender.known_users()
    options = replace(options, empty="skipped")
    rows = _rows(recommender, options)
    for start in range(0, len(users), rows):
        keys = users.user_ids.slice(start, rows)
        found = np.arange(start, start + len(keys), dtype=np.int64)
        yield Block(keys, read_users(found, users.histories, options, keys))


def _rows(recommender: Recommender, options: Options) -> int:
    """Users of a block."""
    each = min(options.top, len(recommender.catalogue))
    return max(min(ROWS, RECOMMENDATIONS // each), 1)


def _words(texts: pa.Array) -> pa.Array:
    """Texts as lists of their words; a text of blanks as null."""
    trimmed = pc.utf8_trim_whitespace(texts)
    there = pc.not_equal(pc.utf8_length(trimmed), 0)
    return pc.utf8_split_whitespace(pc.if_else(there, trimmed, None)).cast(
        pa.large_list(pa.string())
    )

"""Plain sequences: a line has a user and its items, in the order of time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pyarrow as pa

from mmsr.data.importers.foreign.base import PIECE, OneFile, hashed
from mmsr.data.importers.readers.formats import check_format, open_text
from mmsr.data.importers.readers.tables import explained
from mmsr.data.progress import Advance
from mmsr.errors import UserError

_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class Sequences(OneFile):
    """Lines such as `user item item item`, the words separated by blanks or tabs.

    The timestamps are positions: 0, 1, 2 and so on for each user. A user may have several lines,
    which follow one another. Blank lines are left out.

    Attributes
    ----------
    path : text in UTF-8, perhaps in a `.gz` file.
    """

    def check(self) -> None:
        """Check that it is a text that can be opened."""
        check_format(self.path, ".tsv")

    def column_names(self) -> list[str]:
        """The columns of interactions."""
        return ["user_id", "item_id", "timestamp"]

    def fingerprint(self, advance: Advance) -> str:
        """SHA-256 of the file."""
        return hashed("sequences", [self.path], advance)

    def pieces(self, wanted: Collection[str]) -> Iterator[pa.Table]:
        """Yield an interaction for each item."""
        lengths: Counter[str] = Counter()
        users: list[str] = []
        items: list[str] = []
        times: list[int] = []
        for _, user, history in self._lines():
            start = lengths[user]
            lengths[user] += len(history)
            users += [user] * len(history)
            items += history
            times += range(start, lengths[user])
            if len(users) >= PIECE:
                yield _table(users, items, times)
                users, items, times = [], [], []
        yield _table(users, items, times)

    def place(self, row: int) -> tuple[str, str]:
        """Name the line of an interaction."""
        for line, _, items in self._lines():
            row -= len(items)
            if row < 0:
                return f"{self.path}: line {line}", ""
        raise IndexError(row)

    def _lines(self) -> Iterator[tuple[int, str, list[str]]]:
        """Number, user and items of each line that is not blank."""
        with explained(self.path, ".sequences"), open_text(self.path) as file:
            for number, text in enumerate(file, start=1):
                user, *items = _BLANKS.split(text.strip(" \t\r\n"))
                if user and not items:
                    hint = "separate them by blanks" if re.search("[,;|]", user) else "give some"
                    raise UserError(f"{self.path}: line {number} has a user without items: {hint}")
                if user:
                    yield number, user, items


def _table(users: list[str], items: list[str], times: list[int]) -> pa.Table:
    columns = {
        "user_id": pa.array(users, pa.large_string()),
        "item_id": pa.array(items, pa.large_string()),
        "timestamp": pa.array(times, pa.int64()),
    }
    return pa.table(columns)

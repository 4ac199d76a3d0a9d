"""What a report is made of: sections of texts, tables, charts and commands.

Blocks hold plain text, whatever it is: the page and the Markdown file escape it when they are
written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Commands, or an error, as they are typed."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; numbers are aligned right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[str] = frozenset()
    """Columns whose cells are words, not numbers."""
    bold: frozenset[int] = frozenset()
    """Places of the rows to stress."""
    caption: str = ""
    closed: bool = False
    """Whether the page shows only the caption until a reader asks for more."""
    more: str = ""
    """What is left out, and where all of it is; empty if nothing is."""

    def cut(self, most: int, where: str) -> Table:
        """The table without the rows that nobody would read.

        Parameters
        ----------
        most : how many rows stay.
        where : what has all of them.
        """
        left = len(self.rows) - most
        if left <= 0:
            return self
        return replace(self, rows=self.rows[:most], more=f"… and {left:,} more: {where} has all.")


@dataclass(frozen=True)
class Chart:
    """A chart of plotly's; the Markdown file has tables alone."""

    traces: tuple[dict[str, Any], ...]
    layout: dict[str, Any]
    title: str
    """What it shows, in words."""
    height: int = 380
    least_width: int = 0
    """Pixels that it needs; narrower windows scroll it."""


Block = Text | Points | Code | Table | Chart


@dataclass(frozen=True)
class Section:
    """A part of a report under its own heading."""

    name: str
    """Its anchor: lower case, no blanks."""
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    lead: tuple[Block, ...]
    """What stands above the first section: the answer in a few lines."""
    sections: tuple[Section, ...]
    foot: str
    """When and by what it was made."""

"""A table in a notebook that is updated in place.

IPython shows it. It is never imported: a notebook has loaded it, and nothing else needs it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_LEAST_SECONDS = 0.5
"""Between two updates: each is a message to the browser."""
_COLOURS = {"green": "#2e8b57", "yellow": "#b8860b", "red": "#c0392b", "cyan": "#1f7a8c"}
"""Readable on light and on dark pages, by the names that terminals have."""


@dataclass(frozen=True)
class Cells:
    """A table as texts."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    styles: Sequence[str]
    """The colour of each row's state, as terminals name it."""
    foot: str


def as_html(cells: Cells, coloured: int) -> str:
    """A table with a line below it.

    Parameters
    ----------
    cells : the table.
    coloured : the column of the states, which is aligned left and has the rows' colours.
    """

    def cell(tag: str, place: int, text: str, colour: str = "") -> str:
        side = "left" if place == coloured else "right"
        style = f"text-align:{side}" + (f";color:{colour}" if colour else "")
        return f"<{tag} style='{style}'>{escape(text)}</{tag}>"

    head = "".join(cell("th", place, text) for place, text in enumerate(cells.head))
    body = "".join(
        "<tr>"
        + "".join(
            cell("td", place, text, _COLOURS.get(style, "") if place == coloured else "")
            for place, text in enumerate(row)
        )
        + "</tr>"
        for row, style in zip(cells.rows, cells.styles, strict=True)
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"{table}<p style='opacity:0.7'>{escape(cells.foot)}</p>"


class NotebookTable:
    """A table below a notebook's cell, from `start` to `stop`.

    Parameters
    ----------
    html : returns the table as it is now.
    """

    def __init__(self, html: Callable[[], str]) -> None:
        self._html = html
        self._handle: Any = None
        self._shown = 0.0

    def start(self) -> None:
        """Show the table."""
        self._handle = self._ipython.display(self._now(), display_id=True)

    def refresh(self) -> None:
        """Show the table as it is now, unless that was done a moment ago."""
        if time.monotonic() - self._shown > _LEAST_SECONDS:
            self._update()

    def stop(self) -> None:
        """Show the table as it is at the end; it stays."""
        self._update()

    def _update(self) -> None:
        if self._handle is not None:
            self._handle.update(self._now())

    def _now(self) -> Any:
        self._shown = time.monotonic()
        return self._ipython.HTML(self._html())

    @property
    def _ipython(self) -> Any:
        return sys.modules["IPython.display"]

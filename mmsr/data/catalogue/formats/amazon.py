"""What the three releases of Amazon's reviews have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmsr.data.catalogue.formats.lines import RawFile
from mmsr.data.catalogue.formats.tables import ItemRow, Table, write_interactions, write_items
from mmsr.data.catalogue.formats.texts import from_html, joined
from mmsr.data.importers.items import METADATA_COLUMNS
from mmsr.data.progress import Reporter

Row = Mapping[Any, Any]
"""An object of a published file: names are texts, unless somebody has changed it."""
Texts = Mapping[str, str | None]


def read_reviews(
    folder: Path,
    path: Path,
    fields: tuple[str, str, str],
    unit: tuple[int, int],
    reporter: Reporter,
) -> tuple[Table, set[str]]:
    """Make the table of interactions from reviews as JSON lines: every review is an interaction.

    Parameters
    ----------
    folder : where to write it.
    path : the reviews.
    fields : names of user, item and time.
    unit : the unit of the time.
    reporter : shows the progress.

    Returns
    -------
    table : the table.
    items : ids of the items that occur.

    Raises
    ------
    UserError : see `RawFile` and `write_interactions`.
    """
    raw = RawFile(path)
    user, item, time = fields

    def rows() -> Iterator[tuple[int, Any, Any, Any]]:
        for number, line in raw.lines(reporter):
            row = raw.object_of(number, line, json.loads)
            yield number, row.get(user), row.get(item), row.get(time)

    return write_interactions(folder, raw, rows(), unit)


def read_metadata(
    folder: Path,
    path: Path,
    item: str,
    texts: Callable[[Row], Texts],
    known: Collection[str],
    reporter: Reporter,
    parse: Callable[[str], Any] = json.loads,
    begins_with: re.Pattern[bytes] | None = None,
    foreign: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    """Make the table of items from metadata, one object a line.

    Parameters
    ----------
    folder : where to write it.
    path : the metadata.
    item : name of the item's id.
    texts : gives an item's metadata by mmsr's names.
    known : ids of the items that occur.
    reporter : shows the progress.
    parse : reads a line.
    begins_with : finds an ASCII id at the beginning of a line, where parsing takes long: a line of
        an item that does not occur is left out unread.
    foreign : names of fields that only another release has, and its name: releases share names of
        files.

    Raises
    ------
    UserError : see `RawFile` and `write_items`.
    """
    raw = RawFile(path)

    def rows() -> Iterator[ItemRow]:
        for number, line in raw.lines(reporter):
            begins = None if begins_with is None else begins_with.match(line)
            if begins and (unread := begins[1].decode()) not in known:
                yield number, unread, dict
            else:
                row = raw.object_of(number, line, parse)
                if wrong := next((name for name in foreign if name in row), None):
                    raise raw.error(f"line {number} has {wrong!r}: it is of {foreign[wrong]}")
                yield number, row.get(item), partial(texts, row)

    return write_items(folder, raw, METADATA_COLUMNS, rows(), known)


def words(value: Any) -> str | None:
    """The words of a text, or of a list of texts, which may be HTML."""
    return joined(value, " ", from_html)


def path_of(value: Any) -> str | None:
    """A list of categories from the widest to the narrowest, as ``Beauty > Makeup``."""
    return joined(value, " > ", from_html)


def first_url(value: Any) -> str | None:
    """The first URL of a list, or a single one; None where there is none."""
    urls = value if isinstance(value, list | tuple) else [value]
    return next((url.strip() for url in urls if isinstance(url, str) and url.strip()), None)

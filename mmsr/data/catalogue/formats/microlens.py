"""MicroLens: pairs of user and item with their times, and titles, as comma-separated text."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from mmsr.data.catalogue.formats.lines import RawFile
from mmsr.data.catalogue.formats.tables import (
    MILLISECONDS,
    ItemRow,
    Tables,
    write_interactions,
    write_items,
)
from mmsr.data.catalogue.formats.texts import plain
from mmsr.data.progress import Reporter

_HEADER = "item,title"


def read(files: Mapping[str, Path], folder: Path, reporter: Reporter) -> Tables:
    """Make neutral tables of a release: every pair is an interaction. Likes and views are not read.

    A line of the titles is the item, a comma and the title, which may hold commas; it may be
    quoted as in CSV. The header is there in some releases only.

    Parameters
    ----------
    files : `ratings` (the pairs as CSV) and `texts` (the titles).
    folder : where to write the tables.
    reporter : shows the progress.

    Raises
    ------
    UserError : a file is not as published.
    """
    pairs, titles = RawFile(files["ratings"]), RawFile(files["texts"])
    records = pairs.records(("user", "item", "timestamp"), reporter)
    rows = ((line, *fields) for line, fields in records)
    interactions, known = write_interactions(folder, pairs, rows, MILLISECONDS)
    items = write_items(folder, titles, ("title",), _titles(titles, reporter), known)
    return Tables(interactions, items)


def _titles(raw: RawFile, reporter: Reporter) -> Iterator[ItemRow]:
    first = True
    for line, content in raw.lines(reporter):
        text = raw.text(line, content)
        if first and text == _HEADER:
            first = False
            continue
        first = False
        item, comma, title = text.partition(",")
        if not comma or not item.strip().isdecimal():
            raise raw.error(f"line {line} does not begin with an item and a comma")
        yield line, item, partial(_texts, title)


def _texts(title: str) -> Mapping[str, str | None]:
    return {"title": plain(_unquoted(title)) or None}


def _unquoted(title: str) -> str:
    """The title without the quotes of CSV, if it has them around all of it."""
    if title.startswith('"'):
        try:
            fields = next(csv.reader([title], strict=True))
        except csv.Error:
            return title
        return fields[0] if len(fields) == 1 else title
    return title

"""MicroLens: pairs of user and item with their times, and titles, as comma-separated text."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from mmsr.data.catalogue.formats.lines import LONGEST, RawFile
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

    A line of the titles is the item, a comma and the title, which may hold commas. It may be quoted
    as in CSV, over several lines too. The header is there in some releases only.

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
    record: tuple[int, str, str] | None = None
    begun = opened = False
    for line, content in raw.lines(reporter):
        text = raw.text(line, content)
        is_header, begun = text == _HEADER and not begun, True
        item, comma, title = text.partition(",")
        if comma and item.strip().isdecimal():
            if record is not None:
                yield _row(*record)
            record, opened = (line, item, title), title.startswith('"') and _is_odd(title)
        elif record is not None and opened and len(record[2]) < LONGEST:
            record, opened = (*record[:2], f"{record[2]} {text}"), not _is_odd(text)
        elif not is_header:
            raise raw.error(f"line {line} does not begin with an item and a comma")
    if record is not None:
        yield _row(*record)


def _is_odd(text: str) -> bool:
    """Whether a quote of CSV stays open that opens in the text, or closes that was open."""
    return text.count('"') % 2 == 1


def _row(line: int, item: str, title: str) -> ItemRow:
    return line, item, partial(_texts, title)


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

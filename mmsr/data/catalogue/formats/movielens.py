"""MovieLens: ratings and movies in a zip archive, as CSV or, in old releases, with `::`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mmsr.data.catalogue.formats.lines import RawFile, member_of
from mmsr.data.catalogue.formats.tables import (
    SECONDS,
    ItemRow,
    Tables,
    write_interactions,
    write_items,
)
from mmsr.data.catalogue.formats.texts import plain
from mmsr.data.progress import Reporter

_SEPARATOR = "::"
_NO_GENRES = "(no genres listed)"


def read(files: Mapping[str, Path], folder: Path, reporter: Reporter) -> Tables:
    """Make neutral tables of a release: every rating is an interaction, whatever its value.

    Genres become the categories. Lines of `.dat` files are UTF-8, or else Latin-1.

    Parameters
    ----------
    files : `ratings`, the archive with `ratings.csv` and `movies.csv`, or the same as `.dat`.
    folder : where to write the tables.
    reporter : shows the progress.

    Raises
    ------
    UserError : a file is not as published.
    """
    ratings = member_of(files["ratings"], "ratings.csv", "ratings.dat")
    movies = member_of(files["ratings"], "movies.csv", "movies.dat")
    interactions, known = write_interactions(folder, ratings, _ratings(ratings, reporter), SECONDS)
    rows = _movies(movies, reporter)
    items = write_items(folder, movies, ("title", "categories"), rows, known)
    return Tables(interactions, items)


def _ratings(raw: RawFile, reporter: Reporter) -> Iterator[tuple[int, Any, Any, Any]]:
    if raw.name.endswith(".csv"):
        for line, fields in raw.records(("userId", "movieId", "timestamp"), reporter):
            yield line, *fields
    else:
        for line, (user, item, _, time) in _parts(raw, 4, reporter):
            yield line, user, item, time


def _movies(raw: RawFile, reporter: Reporter) -> Iterator[ItemRow]:
    csv = raw.name.endswith(".csv")
    columns = ("movieId", "title", "genres")
    for line, fields in raw.records(columns, reporter) if csv else _parts(raw, 3, reporter):
        yield line, fields[0], partial(_texts, *fields[1:])


def _parts(raw: RawFile, n_fields: int, reporter: Reporter) -> Iterator[tuple[int, list[str]]]:
    """Fields of each line of a `.dat` file."""
    for line, content in raw.lines(reporter):
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        fields = text.split(_SEPARATOR)
        if len(fields) != n_fields:
            raise raw.error(f"line {line} has {len(fields)} fields between '::', not {n_fields}")
        yield line, fields


def _texts(title: str, genres: str) -> Mapping[str, str | None]:
    listed = "" if genres == _NO_GENRES else ", ".join(genres.split("|"))
    return {"title": plain(title) or None, "categories": plain(listed) or None}

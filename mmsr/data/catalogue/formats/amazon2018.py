"""Amazon 2018: reviews and metadata as JSON lines; images by their URLs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmsr.data.catalogue.formats.amazon import (
    Row,
    Texts,
    first_url,
    path_of,
    read_metadata,
    read_reviews,
    words,
)
from mmsr.data.catalogue.formats.tables import SECONDS, Tables
from mmsr.data.progress import Reporter

_SCRIPT = "getTime"
"""Occurs in fields that hold a web page's script in place of the text, an error of this release."""
_FOREIGN = {"imUrl": "the release of 2014"}


def read(files: Mapping[str, Path], folder: Path, reporter: Reporter) -> Tables:
    """Make neutral tables of the files of one category.

    The release holds reviews twice; the import leaves out those of the same user, item and time.
    A field that holds a page's script counts as missing. The first of `imageURLHighRes`, or else of
    `imageURL`, becomes the column `image`.

    Parameters
    ----------
    files : `reviews` and `metadata`.
    folder : where to write the tables.
    reporter : shows the progress.

    Raises
    ------
    UserError : a file is not as published.
    """
    fields = ("reviewerID", "asin", "unixReviewTime")
    interactions, known = read_reviews(folder, files["reviews"], fields, SECONDS, reporter)
    items = read_metadata(
        folder, files["metadata"], "asin", _texts, known, reporter, foreign=_FOREIGN
    )
    return Tables(interactions, items)


def _texts(row: Row) -> Texts:
    return {
        "title": _text(row.get("title")),
        "description": _text(row.get("description")),
        "brand": _text(row.get("brand")),
        "categories": path_of(row.get("category")),
        "image": first_url(row.get("imageURLHighRes")) or first_url(row.get("imageURL")),
    }


def _text(value: Any) -> str | None:
    text = words(value)
    return None if text is not None and _SCRIPT in text else text

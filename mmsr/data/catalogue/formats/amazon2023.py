"""Amazon 2023: reviews as JSON lines, or the 5-core as CSV; metadata by the parent item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from mmsr.data.catalogue.formats.lines import RawFile
from mmsr.data.catalogue.formats.tables import MILLISECONDS, Tables, write_interactions
from mmsr.data.progress import Reporter

_FIELDS = ("user_id", "parent_asin", "timestamp")


def read(files: Mapping[str, Path], folder: Path, reporter: Reporter) -> Tables:
    """Make neutral tables of the files of one category.

    Items are parents: the variants of a product are one item. `description` and `features` together
    become the description, `store` the brand, and the first picture in its largest size the column
    `image`.

    Parameters
    ----------
    files : `metadata`, and `ratings` (the 5-core as CSV) or `reviews`.
    folder : where to write the tables.
    reporter : shows the progress.

    Raises
    ------
    UserError : a file is not as published.
    """
    if "ratings" in files:
        raw = RawFile(files["ratings"])
        rows = ((line, *fields) for line, fields in raw.records(_FIELDS, reporter))
        interactions, known = write_interactions(folder, raw, rows, MILLISECONDS)
    else:
        reviews = files["reviews"]
        interactions, known = read_reviews(folder, reviews, _FIELDS, MILLISECONDS, reporter)
    items = read_metadata(folder, files["metadata"], "parent_asin", _texts, known, reporter)
    return Tables(interactions, items)


def _texts(row: Row) -> Texts:
    return {
        "title": words(row.get("title")),
        "description": words([row.get("description"), row.get("features")]),
        "brand": words(row.get("store")),
        "categories": path_of(row.get("categories")),
        "image": first_url(list(_urls(row.get("images")))),
    }


def _urls(images: Any) -> Iterator[Any]:
    """URLs of all pictures, the largest size of each first."""
    for image in images if isinstance(images, list) else [images]:
        if isinstance(image, dict):
            for size in ("hi_res", "large", "thumb"):
                yield first_url(image.get(size))

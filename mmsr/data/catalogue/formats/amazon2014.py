"""Amazon 2014: reviews as JSON lines, metadata as Python literals, image features as records."""

from __future__ import annotations

import ast
import json
import re
import warnings
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
from mmsr.data.catalogue.formats.image_records import write_vectors
from mmsr.data.catalogue.formats.lines import RawFile
from mmsr.data.catalogue.formats.tables import SECONDS, Tables
from mmsr.data.progress import Reporter

_ASIN = re.compile(rb"\{'asin': '([0-9A-Za-z]{10})'[,}]")
_FOREIGN = dict.fromkeys(("category", "imageURL", "imageURLHighRes"), "the release of 2018")


def read(files: Mapping[str, Path], folder: Path, reporter: Reporter) -> Tables:
    """Make neutral tables of the files of one category.

    A line of the metadata is a literal of Python or strict JSON. Literals are slow, so a line that
    begins with the id of an item without interactions is left out unread. `imUrl` becomes the
    column `image`, the vectors of the image features the modality `image`.

    Parameters
    ----------
    files : `reviews`, `metadata` and `images`.
    folder : where to write the tables.
    reporter : shows the progress.

    Raises
    ------
    UserError : a file is not as published.
    """
    fields = ("reviewerID", "asin", "unixReviewTime")
    interactions, known = read_reviews(folder, files["reviews"], fields, SECONDS, reporter)
    items = read_metadata(
        folder, files["metadata"], "asin", _texts, known, reporter, literal, _ASIN, _FOREIGN
    )
    vectors = write_vectors(folder, RawFile(files["images"]), known, reporter)
    return Tables(interactions, items, {"image": vectors})


def literal(text: str) -> Any:
    """Read a line of metadata: JSON, or a literal of Python; nothing in it is executed.

    Parameters
    ----------
    text : the line.

    Raises
    ------
    ValueError, SyntaxError, TypeError, MemoryError, RecursionError : it is neither.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
            return ast.literal_eval(text)


def _texts(row: Row) -> Texts:
    return {
        "title": words(row.get("title")),
        "description": words(row.get("description")),
        "brand": words(row.get("brand")),
        "categories": _paths(row.get("categories")),
        "image": first_url(row.get("imUrl")),
    }


def _paths(value: Any) -> str | None:
    """A list of paths of categories, as ``Beauty > Makeup; Beauty > Tools``."""
    if not isinstance(value, list | tuple) or not any(isinstance(one, list) for one in value):
        return path_of(value)
    return "; ".join(path for path in map(path_of, value) if path) or None

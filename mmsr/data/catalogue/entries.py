"""The public data sets that mmsr knows: their files, formats and published counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mmsr import paths
from mmsr.errors import unknown


@dataclass(frozen=True)
class File:
    """One published file.

    Parameters
    ----------
    role : what it holds: reviews, metadata, images, ratings or texts.
    name : its published name, which is its name on disk.
    url : where it is published.
    size : length in bytes; None where it is not documented.
    checksum : ``sha256:…`` or ``md5:…`` as documented; None where none is.
    """

    role: str
    name: str
    url: str
    size: int | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class PublishedCounts:
    """Size of a data set after preprocessing, as the paper's table 1 states it."""

    users: int
    items: int
    interactions: int


@dataclass(frozen=True)
class Entry:
    """One public data set.

    Parameters
    ----------
    name : its name in mmsr.
    title : its name in full.
    format : amazon2014, amazon2018, amazon2023, movielens or microlens.
    category : the publisher's name of the part, e.g. ``Home_and_Kitchen``; None where the data set
        has no parts.
    files : its files, each role at most once.
    citation : what its publishers ask to be cited.
    published : counts of the paper's table 1; None where it has none. The columns Kitchen and Phone
        of that table are swapped in the paper, and right here.
    """

    name: str
    title: str
    format: str
    category: str | None
    files: tuple[File, ...]
    citation: str
    published: PublishedCounts | None = None

    @property
    def folder(self) -> Path:
        """Where its files are kept, under their published names."""
        return paths.downloads() / self.name

    def roles(self) -> list[str]:
        """Roles of its files, in the catalogue's order."""
        return [file.role for file in self.files]


def names() -> list[str]:
    """Names of the public data sets, in the catalogue's order."""
    return list(_catalogue())


def entry(name: str) -> Entry:
    """The public data set of this name.

    Raises
    ------
    UserError : there is none.
    """
    try:
        return _catalogue()[name]
    except KeyError:
        raise unknown("public data set", name, names()) from None


@cache
def _catalogue() -> dict[str, Entry]:
    text = (files("mmsr.data.catalogue") / "catalogue.json").read_text(encoding="utf-8")
    return {fields["name"]: _entry(**fields) for fields in json.loads(text)}


def _entry(*, files: list[dict[str, Any]], published: dict[str, int] | None, **rest: Any) -> Entry:
    counts = None if published is None else PublishedCounts(**published)
    return Entry(files=tuple(File(**file) for file in files), published=counts, **rest)

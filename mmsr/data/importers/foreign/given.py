"""From what a user types to tables: files, folders, patterns, pairs of arrays, addresses."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from mmsr.data.importers.foreign.arrays import Arrays
from mmsr.data.importers.foreign.atomic import ENDINGS, Atomic
from mmsr.data.importers.foreign.detect import Brought, bring
from mmsr.data.importers.foreign.parts import WILD, in_folder, matching
from mmsr.data.importers.foreign.remote import check_address, fetch
from mmsr.data.importers.foreign.staging import naming
from mmsr.data.importers.scratch import scratch
from mmsr.data.importers.sources import Sources, Table
from mmsr.data.progress import Reporter
from mmsr.errors import UserError
from mmsr.urls import is_uri


@dataclass(frozen=True)
class Given:
    """What a user names on the command line.

    Attributes
    ----------
    interactions, items : a file, a folder, a pattern, or an address in an object store.
    features : the same by modality; or `VECTORS.npy,IDS`.
    origin : a file or folder of another library, which holds several of these.
    layout : how it is laid out, a key of `detect.LAYOUTS`; None where it is plain.
    """

    interactions: str | None = None
    items: str | None = None
    features: Mapping[str, str] = field(default_factory=dict)
    origin: str | None = None
    layout: str | None = None

    def check(self) -> None:
        """Check that the options fit together.

        Raises
        ------
        UserError : they do not.
        """
        if self.origin is None and self.interactions is None:
            raise UserError(
                "no interactions are given: give --interactions FILE, or --from FOLDER of another "
                "library"
            )
        if self.origin is not None and self.interactions is not None:
            raise UserError("--from and --interactions both name interactions: leave one out")
        if self.layout is not None and self.origin is None:
            raise UserError("--format is for --from: a table's format is that of its file's name")
        pairs = (_pair(text) or (text,) for text in self.features.values())
        for text in (self.origin, self.interactions, self.items, *chain.from_iterable(pairs)):
            if text is not None and is_uri(text):
                check_address(text)

    def words(self) -> tuple[str, ...]:
        """The words of the command line that name the tables; none without `--from`."""
        if self.origin is None:
            return ()
        words = ["--from", _absolute(self.origin)]
        words += ["--format", self.layout] if self.layout else []
        words += ["--items", _absolute(self.items)] if self.items else []
        for modality, text in self.features.items():
            absolute = ",".join(map(_absolute, _pair(text) or (text,)))
            words += ["--features", f"{modality}={absolute}"]
        return tuple(words)


@contextmanager
def opened(given: Given, reporter: Reporter) -> Iterator[tuple[Sources, dict[str, str], Reporter]]:
    """Context with the tables that a user names, copies of remote ones included.

    Parameters
    ----------
    given : what the user names.
    reporter : shows the stages of the work.

    Yields
    ------
    sources : the tables.
    columns : column names in the files by mmsr's names, where the layout decides them.
    reporter : names addresses in place of their copies.

    Raises
    ------
    UserError : a name is wrong, or a store refuses; errors within the context name addresses, too.
    """
    given.check()
    copies: dict[Path, str] = {}

    def rename(text: str) -> str:
        for folder, base in copies.items():
            text = text.replace(f"{folder}/", base)
        return text

    with ExitStack() as stack:
        renaming = stack.enter_context(naming(rename, reporter))

        def here(text: str) -> str:
            """The text itself, or the path of a copy."""
            if not is_uri(text):
                return text
            folder = stack.enter_context(scratch())
            with reporter.stage("fetching files"):
                copy, copies[folder] = fetch(text, folder)
            return str(copy)

        brought = Brought(None)
        if given.origin is not None:
            brought = bring(here(given.origin), given.layout)
        items, features = brought.items, dict(brought.features)
        interactions = brought.interactions
        if given.interactions is not None:
            interactions = table_of(here(given.interactions))
        if given.items is not None:
            items = table_of(here(given.items))
        for modality, text in given.features.items():
            features[modality] = vectors_of(",".join(map(here, _pair(text) or (text,))))
        if interactions is None:
            raise UserError(f"{given.origin} has no interactions")
        sources = Sources(interactions, items, features, given=given.words(), copies=copies)
        yield sources, brought.columns, renaming


def table_of(text: str) -> Table:
    """The table that a name on this machine stands for.

    Parameters
    ----------
    text : a file, a folder, or a pattern.

    Raises
    ------
    UserError : a folder or pattern has no files of one format.
    """
    path = Path(text)
    if os.path.isdir(text):
        return in_folder(path)
    if not os.path.exists(text) and any(character in text for character in WILD):
        return matching(text)
    return Atomic(path) if path.suffix.lower() in ENDINGS else path


def vectors_of(text: str) -> Table:
    """The table of vectors that a name on this machine stands for.

    Parameters
    ----------
    text : as for `table_of`; or `VECTORS.npy,IDS`, or `.npz`.

    Raises
    ------
    UserError : as `table_of`, or ids are missing.
    """
    if pair := _pair(text):
        return Arrays(Path(pair[0]), Path(pair[1]))
    ending = Path(text).suffix.lower()
    if ending == ".npy":
        raise UserError(
            f"{text} has vectors without ids: add a file with one id a line, "
            "VECTORS.npy,IDS.txt, or save both with numpy.savez(FILE, ids=…, vectors=…)"
        )
    return Arrays(Path(text)) if ending == ".npz" else table_of(text)


def _pair(text: str) -> tuple[str, str] | None:
    """The file of vectors and that of ids, where both are named."""
    if os.path.exists(text):
        return None
    vectors, _, ids = text.rpartition(",")
    return (vectors, ids) if vectors.lower().endswith(".npy") and ids else None


def _absolute(text: str) -> str:
    return text if is_uri(text) else os.path.abspath(text)

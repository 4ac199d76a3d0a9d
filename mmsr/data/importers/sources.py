"""The tables that a data set is made from, and the check that they fit together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmsr.data.importers.bounded.ordering import Orderable
from mmsr.data.importers.foreign.base import Foreign
from mmsr.data.importers.items import METADATA_COLUMNS
from mmsr.data.importers.readers.formats import check_format
from mmsr.data.importers.readers.tables import SHARED, column_names
from mmsr.data.manifest import MODALITY, ImportSettings, InputFile
from mmsr.data.progress import Advance, Reporter
from mmsr.data.splits import BY_MOMENT, PROTOCOLS
from mmsr.data.storage import file_sha256
from mmsr.errors import UserError, unknown

COLUMNS = ("user_id", "item_id", "timestamp", *METADATA_COLUMNS, "vector")
"""Columns of the neutral tables."""
Table = Path | Foreign
"""A file in a format of mmsr's own, or a table that is written as one before it is read."""


@dataclass(frozen=True)
class Sources:
    """The tables that a data set is made from.

    Attributes
    ----------
    interactions : table of user_id, item_id and timestamp.
    items : table of item_id and any of title, description, brand, categories, image.
    features : table of item_id and vector, by modality.
    generator : the command that generated the tables, where they were generated.
    entry : name of the public data set whose files the tables were parsed from, where they were.
    inputs : those files; the tables themselves where none are given.
    given : the words of the command line that name the tables, where these are not one option for
        each file.
    copies : folders with copies, and what each is a copy of, for records.
    images : folder of image files, named by item id or by the items' column `image`; None stands
        for the folder of the items table.
    """

    interactions: Table
    items: Table | None = None
    features: Mapping[str, Table] = field(default_factory=dict)
    generator: str | None = None
    entry: str | None = None
    inputs: tuple[InputFile, ...] = ()
    given: tuple[str, ...] = ()
    copies: Mapping[Path, str] = field(default_factory=dict)
    images: Path | None = None

    def by_role(self) -> dict[str, Table]:
        """All tables by role: `interactions`, `items` or `features/<modality>`."""
        roles = {"interactions": self.interactions}
        if self.items is not None:
            roles["items"] = self.items
        return roles | {f"features/{name}": table for name, table in sorted(self.features.items())}

    def files(self, tables: Mapping[str, Table]) -> Files:
        """The same tables as files.

        Parameters
        ----------
        tables : the file for each role; of interactions, perhaps what sorts them.

        Raises
        ------
        TypeError : a table is no file.
        """
        paths = {}
        for role, path in tables.items():
            if isinstance(path, Path):
                paths[role] = path
            elif not isinstance(path, Orderable) or role != "interactions":
                raise TypeError(f"{role} is no file")
        interactions = tables["interactions"]
        features = {name: paths[f"features/{name}"] for name in self.features}
        return Files(
            interactions if isinstance(interactions, Orderable) else paths["interactions"],
            paths.get("items"),
            features,
            self,
        )


@dataclass(frozen=True)
class Files:
    """The tables that a data set is made from: files of known formats, or sorted elsewhere.

    Attributes
    ----------
    interactions, items, features : see `Sources`.
    origin : the tables as they were given.
    """

    interactions: Path | Orderable
    items: Path | None
    features: Mapping[str, Path]
    origin: Sources


def check_sources(sources: Sources, settings: ImportSettings) -> None:
    """Check sources and settings as far as possible before any table is read.

    Parameters
    ----------
    sources : the tables.
    settings : every other choice of the import.

    Raises
    ------
    UserError : settings and tables do not fit, or a file is missing or of an unknown format.
    """
    if settings.protocol not in PROTOCOLS:
        raise unknown("protocol", settings.protocol, PROTOCOLS)
    if settings.test_from is not None and settings.protocol not in BY_MOMENT:
        raise UserError(
            f"--test-from is for --protocol {' and '.join(BY_MOMENT)}: leave one of them out"
        )
    for column in settings.columns:
        if column not in COLUMNS:
            raise _strange(column, settings.columns[column])
        if column in METADATA_COLUMNS and sources.items is None:
            raise UserError(f"--columns names {column!r}, but no items table is given: add --items")
        if column == "vector" and not sources.features:
            raise UserError("--columns names 'vector', but no features are given: add --features")
    for modality in sources.features:
        if not re.fullmatch(MODALITY, modality) or modality == "item":
            raise UserError(
                f"bad modality name {modality!r}: use up to 32 letters, digits, '_' and '-', "
                "beginning with a letter, and not 'item'"
            )
    if settings.text_from is not None and (sources.items is None or "text" in sources.features):
        reason = "there is no items table" if sources.items is None else "text features are given"
        raise UserError(f"--text-from cannot be used: {reason}; leave it out")
    for table in sources.by_role().values():
        if isinstance(table, Foreign):
            table.check()
        else:
            check_format(table)
    for column in SHARED:
        _check_shared(column, settings.columns.get(column, column), sources)


def _strange(column: str, given: str) -> UserError:
    """Build the error for what stands left of `=` in --columns and is no column of mmsr's."""
    option = f"--columns {column}={given}"
    if given in COLUMNS:
        return UserError(f"{option}: write it the other way round: --columns {given}={column}")
    problem = unknown("standard name", column, COLUMNS)
    return UserError(
        f"{option}: {problem}; a standard name stands left of '=', the column of your file right"
    )


def _check_shared(column: str, given: str, sources: Sources) -> None:
    """Check that a name for a column of several tables is the name in one of them.

    Raises
    ------
    UserError : it is in none, and none needs it.
    """
    if given == column:
        return
    roles = sources.by_role().items()
    tables = [table for role, table in roles if column != "vector" or role.startswith("features/")]
    for table in tables:
        names = table.column_names() if isinstance(table, Foreign) else column_names(table)
        if given in names or column not in names:  # in the latter case, reading it says what to do
            return
    raise UserError(
        f"--columns {column}={given}: no table has a column {given!r}, and all have {column!r}: "
        "leave it out, or correct it"
    )


def hash_inputs(sources: Sources, reporter: Reporter) -> tuple[InputFile, ...]:
    """Describe the input files, with a hash of each, unless the sources know them.

    Parameters
    ----------
    sources : the tables.
    reporter : shows the progress in bytes.

    Raises
    ------
    UserError : a file cannot be read.
    """
    if sources.inputs:
        return sources.inputs
    roles = sources.by_role()
    sizes = {
        role: table.size if isinstance(table, Foreign) else table.stat().st_size
        for role, table in roles.items()
    }
    with reporter.stage("hashing inputs", sum(sizes.values())) as advance:
        return tuple(
            InputFile(
                role=role,
                path=_recorded(table, sources),
                sha256=_hash(table, advance),
                bytes=sizes[role],
            )
            for role, table in roles.items()
        )


def _recorded(table: Table, sources: Sources) -> str:
    """The name of a table in records."""
    if isinstance(table, Foreign):
        name = table.recorded()
    else:
        name = table.name if sources.generator is not None else str(table.absolute())
    for folder, base in sources.copies.items():
        name = name.replace(f"{folder}/", base)
    return name


def _hash(table: Table, advance: Advance) -> str:
    return table.fingerprint(advance) if isinstance(table, Foreign) else file_sha256(table, advance)

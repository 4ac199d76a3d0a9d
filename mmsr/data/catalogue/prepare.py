"""Public data sets are made of their published files: parsed into neutral tables, and imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mmsr import paths
from mmsr.data.catalogue.entries import Entry, File, entry
from mmsr.data.catalogue.files import Differs, checked, recorded, verified
from mmsr.data.catalogue.formats.registry import FORMATS
from mmsr.data.catalogue.formats.tables import Table
from mmsr.data.folders import cannot, check_name, locked, one_at_a_time
from mmsr.data.importers.foreign.staging import naming
from mmsr.data.importers.prepare import Prepared, unchanged
from mmsr.data.importers.prepare import prepare as import_sources
from mmsr.data.importers.readers.rows import RowCount
from mmsr.data.importers.scratch import scratch
from mmsr.data.importers.sources import Sources
from mmsr.data.manifest import ImportSettings, InputFile
from mmsr.data.mirror import publish
from mmsr.data.progress import Reporter, Silent
from mmsr.data.splits import PROTOCOLS
from mmsr.errors import UserError, unknown


def prepare(
    public: str,
    name: str | None = None,
    *,
    settings: ImportSettings | None = None,
    source: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Prepared:
    """Make a data set of the published files of a public one.

    The files are parsed into neutral tables in a temporary folder, which are then imported as
    tables of a user are. Nothing is done if the data set was made from the same
    files and settings before.

    Parameters
    ----------
    public : name of the public data set in the catalogue.
    name : name of the data set; None takes that of the public one.
    settings : of the import; None stands for the defaults.
    source : folder with the files under their published names; None stands for that to which they
        are fetched.
    overwrite : make it anew if it exists, whatever it was made from.
    reporter : shows the stages of the work.

    Returns
    -------
    The data set. Its `rows` count those of the published files, from reading them to the import.

    Raises
    ------
    UserError : a file is missing or not as published, the name is taken, or nothing can be written.
    """
    wanted, settings, reporter = entry(public), settings or ImportSettings(), reporter or Silent()
    name = name or wanted.name
    check_name(name)
    if settings.protocol not in PROTOCOLS:
        raise unknown("protocol", settings.protocol, PROTOCOLS)
    files = _files(wanted, source, reporter)
    inputs = tuple(read for read, _ in files.values())
    lock = paths.datasets() / f".{name}.parsing.lock"
    with one_at_a_time(lock, f"import of {name!r} to finish", reporter):
        if not overwrite:
            with locked(name, reporter) as target:
                if dataset := unchanged(name, inputs, settings):
                    publish(target)
                    return Prepared(dataset, fresh=False)
        return _made(wanted, name, files, settings, overwrite, reporter)


def _made(
    wanted: Entry,
    name: str,
    files: Mapping[str, tuple[InputFile, Path]],
    settings: ImportSettings,
    overwrite: bool,
    reporter: Reporter,
) -> Prepared:
    """Parse the files, and import the tables."""
    with scratch() as folder:
        paths_by_role = {role: path for role, (_, path) in files.items()}
        tables = FORMATS[wanted.format](paths_by_role, folder, reporter)
        sources = Sources(
            tables.interactions.path,
            None if tables.items is None else tables.items.path,
            {modality: table.path for modality, table in tables.features.items()},
            entry=wanted.name,
            inputs=tuple(read for read, _ in files.values()),
        )
        names = {str(one.path): str(one.raw) for one in tables.all()}

        def published(message: str) -> str:
            for table, raw in names.items():
                message = message.replace(table, raw)
            return message

        with naming(published, reporter) as naming_reporter:
            made = import_sources(
                name, sources, settings, overwrite=overwrite, reporter=naming_reporter
            )
    rows = tuple(map(_whole, tables.all(), made.rows))
    return replace(made, rows=rows)


def _files(
    wanted: Entry, source: Path | None, reporter: Reporter
) -> dict[str, tuple[InputFile, Path]]:
    """The files that are read, by role: each as the manifest records it, and where it is."""
    folder = wanted.folder if source is None else source
    try:
        chosen = _chosen(wanted, folder)
        return {file.role: _input(wanted, file, source, reporter) for file in chosen}
    except OSError as error:
        raise cannot("read", folder, error) from None


def _chosen(wanted: Entry, folder: Path) -> list[File]:
    """The files to read: ratings stand for reviews, unless reviews alone are there."""
    there = {file.role for file in wanted.files if (folder / file.name).exists()}
    unused = set()
    if {"ratings", "reviews"} <= set(wanted.roles()):
        unused = {"ratings"} if there >= {"reviews"} and "ratings" not in there else {"reviews"}
    return [file for file in wanted.files if file.role not in unused]


def _input(
    wanted: Entry, file: File, source: Path | None, reporter: Reporter
) -> tuple[InputFile, Path]:
    if source is None:
        path = verified(wanted, file, reporter)
        digest = recorded(path)
        if digest is None:
            raise UserError(f"{path}.sha256 is gone: run `mmsr data fetch {wanted.name}`")
    else:
        path = source / file.name
        if not path.is_file():
            raise UserError(
                f"{file.name} of {wanted.name!r} is not in {source}: give the folder that has it, "
                f"or run `mmsr data fetch {wanted.name}` and leave --source out"
            )
        try:
            digest = checked(path, file, reporter)
        except Differs as error:
            raise UserError(f"{error}: give the published file") from None
    place = paths.recorded(path.absolute())
    return InputFile(role=file.role, path=place, sha256=digest, bytes=path.stat().st_size), path


def _whole(table: Table, imported: RowCount) -> RowCount:
    """What became of the rows of a published file, in parsing and in the import."""
    parsed = table.count
    rules = dict.fromkeys([*parsed.dropped, *imported.dropped])
    return RowCount(
        parsed.file,
        parsed.read,
        {rule: parsed.dropped.get(rule, 0) + imported.dropped.get(rule, 0) for rule in rules},
        imported.kept,
    )

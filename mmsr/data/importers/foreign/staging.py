"""Foreign tables, written as files that the importers read; errors name what they were made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from mmsr.data.folders import cannot
from mmsr.data.importers.bounded.ordering import Orderable
from mmsr.data.importers.foreign.base import COUNTED, Foreign
from mmsr.data.importers.items import METADATA_COLUMNS
from mmsr.data.importers.readers.rows import RowCount
from mmsr.data.importers.scratch import scratch
from mmsr.data.importers.sources import Files, Sources
from mmsr.data.manifest import ImportSettings
from mmsr.data.progress import Advance, Reporter
from mmsr.errors import UserError

_COLUMNS = {
    "interactions": ("user_id", "item_id", "timestamp"),
    "items": ("item_id", *METADATA_COLUMNS),
    "features": ("item_id", "vector"),
}


@dataclass(frozen=True)
class AsFiles:
    """The tables of an import as files, and what they were made of.

    Attributes
    ----------
    files : what is read.
    origins : the foreign tables, by the file that was written for each.
    reporter : shows the stages of the work; its notes name the foreign tables.
    """

    files: Files
    origins: dict[Path, Foreign]
    reporter: Reporter

    def named(self, counts: Iterable[RowCount]) -> tuple[RowCount, ...]:
        """Counts of rows, under the names of the foreign tables.

        Parameters
        ----------
        counts : under the names of the files.
        """
        labels = {path.name: table.label for path, table in self.origins.items()}
        return tuple(replace(count, file=labels.get(count.file, count.file)) for count in counts)


@contextmanager
def staged(sources: Sources, settings: ImportSettings, reporter: Reporter) -> Iterator[AsFiles]:
    """Context in which every table is a file of a known format, or sorted elsewhere.

    Foreign tables are written to a folder that is removed at the end. An error that names such a
    file names the foreign table instead, and where a row stands in it.

    Parameters
    ----------
    sources : the tables.
    settings : the choices of the import, for the columns that are of use.
    reporter : shows the stages of the work.

    Raises
    ------
    UserError : a table cannot be read.
    """
    tables = sources.by_role()
    to_write = {
        role: table
        for role, table in tables.items()
        if isinstance(table, Foreign) and not isinstance(table, Orderable)
    }
    if not to_write:
        yield AsFiles(sources.files(tables), {}, reporter)
        return
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        origins: dict[Path, Foreign] = {}
        reporter = stack.enter_context(naming(lambda text: _with_origins(text, origins), reporter))
        for role, table in to_write.items():
            path = folder / f"{role.replace('/', '-')}.parquet"
            with reporter.stage(f"reading {table.label}"):
                _write(path, table, _wanted(role, settings))
            origins[path] = table
            tables[role] = path
        yield AsFiles(sources.files(tables), origins, reporter)


@contextmanager
def naming(rename: Callable[[str], str], reporter: Reporter) -> Iterator[Reporter]:
    """Context in which errors and notes say what stands for a file that nobody has named.

    Parameters
    ----------
    rename : makes the message that is shown of one that names such files.
    reporter : gets the notes.

    Yields
    ------
    The reporter for the work.
    """
    try:
        yield _Naming(reporter, rename)
    except UserError as error:
        raise UserError(rename(str(error))) from None


@dataclass(frozen=True)
class _Naming:
    """A reporter whose notes are renamed."""

    reporter: Reporter
    rename: Callable[[str], str] = field(repr=False)

    def stage(self, title: str, total: int | None = None) -> AbstractContextManager[Advance]:
        return self.reporter.stage(title, total)

    def note(self, message: str) -> None:
        self.reporter.note(self.rename(message))


def _with_origins(text: str, origins: dict[Path, Foreign]) -> str:
    for path, table in origins.items():
        if found := re.search(re.escape(str(path)) + r": row (\d+)(?= )", text):
            place, counted = table.place(int(found[1]) - 1)
            text = text[: found.start()] + place + text[found.end() :]
            text = text.replace(f" {COUNTED}", f" {counted}" if counted else "")
        text = text.replace(str(path), table.shown)
    return text


def _wanted(role: str, settings: ImportSettings) -> set[str]:
    """Names of the columns of a table that may be read, as its files may have them."""
    kind = role.partition("/")[0]
    mine = {*_COLUMNS[kind], *((settings.text_from or ()) if kind == "items" else ())}
    return mine | {settings.columns[name] for name in mine if name in settings.columns}


def _write(path: Path, table: Foreign, wanted: set[str]) -> None:
    writer = None
    try:
        with ExitStack() as stack:
            for piece in table.pieces(wanted):
                if writer is None:
                    writer = stack.enter_context(pa.parquet.ParquetWriter(path, piece.schema))
                writer.write_table(piece)
    except OSError as error:
        raise cannot("write", path, error) from None
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{table.shown} has a column that is not supported ({reason})") from None

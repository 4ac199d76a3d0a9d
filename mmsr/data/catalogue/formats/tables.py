"""Neutral tables, written as a stream of rows, each of which is kept or left out by a rule."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from mmsr.data.catalogue.formats.lines import RawFile
from mmsr.data.folders import cannot
from mmsr.data.importers.features import UNUSED
from mmsr.data.importers.readers.rows import RowCount
from mmsr.errors import shown

REPEATED = "repeated"
WITHOUT_ID = "without an id"
INCOMPLETE = "without user, item or time"
SECONDS = (10**8, 10**10)
"""Unix times from 1973 to 2286; no release has others."""
MILLISECONDS = (10**11, 10**13)
_BATCH = 16_384
_DIGITS = r"[0-9]{1,20}"

ItemRow = tuple[int, Any, Callable[[], Mapping[str, str | None]]]
"""Line, id, and a function that gives the metadata."""


@dataclass(frozen=True)
class Table:
    """A neutral table made from a published file.

    Attributes
    ----------
    path : the table.
    raw : the published file.
    count : rows of the published file that were read, left out and written.
    """

    path: Path
    raw: RawFile
    count: RowCount


@dataclass(frozen=True)
class Tables:
    """The neutral tables of a data set.

    Attributes
    ----------
    interactions, items : the tables; items may be missing.
    features : tables by modality.
    """

    interactions: Table
    items: Table | None = None
    features: Mapping[str, Table] = field(default_factory=dict)

    def all(self) -> list[Table]:
        """Every table, in the order in which an import counts their rows."""
        features = (self.features[name] for name in sorted(self.features))
        return [self.interactions, *([self.items] if self.items else []), *features]


@dataclass
class Tally:
    """Counts what becomes of the rows of a file.

    Attributes
    ----------
    raw : the file.
    read, kept : numbers of rows.
    dropped : numbers of rows that were left out, by rule.
    """

    raw: RawFile
    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def table(self, path: Path) -> Table:
        """The table that was written, with the counts."""
        return Table(path, self.raw, RowCount(self.raw.name, self.read, self.dropped, self.kept))


@contextmanager
def writing(
    path: Path, schema: pa.Schema, batch: int = _BATCH
) -> Iterator[Callable[[tuple[Any, ...]], None]]:
    """Context with a function that adds a row to a Parquet file.

    Parameters
    ----------
    path : the file; its folder is made where it is missing.
    schema : the columns.
    batch : rows that are in memory at a time.

    Raises
    ------
    UserError : it cannot be written.
    """
    rows: list[tuple[Any, ...]] = []

    def flush() -> None:
        columns = map(pa.array, zip(*rows, strict=True), schema.types)
        try:
            writer.write_batch(pa.record_batch(list(columns), schema=schema))
        except OSError as error:  # it may rise through the context of the file that is read
            raise cannot("write", path, error) from None
        rows.clear()

    def add(row: tuple[Any, ...]) -> None:
        rows.append(row)
        if len(rows) == batch:
            flush()

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.parquet.ParquetWriter(path, schema) as writer:
            yield add
            if rows:
                flush()
    except OSError as error:
        raise cannot("write", path, error) from None


def write_interactions(
    folder: Path,
    raw: RawFile,
    rows: Iterable[tuple[int, Any, Any, Any]],
    unit: tuple[int, int],
) -> tuple[Table, set[str]]:
    """Write the table of interactions.

    A row that lacks its user, item or time is left out. One of another type is an error, and so is
    a time that is no whole number of the format's unit.

    Parameters
    ----------
    folder : where to write `interactions.parquet`.
    raw : the file that the rows are from.
    rows : line, user, item and time of each row.
    unit : `SECONDS` or `MILLISECONDS`.

    Returns
    -------
    table : the table.
    items : ids of the items that occur.

    Raises
    ------
    UserError : a row is wrong, or none is complete; or the table cannot be written.
    """
    path, tally, items = folder / "interactions.parquet", Tally(raw), set[str]()
    schema = pa.schema({"user_id": pa.string(), "item_id": pa.string(), "timestamp": pa.int64()})
    with writing(path, schema) as add:
        for line, user, item, time in rows:
            tally.read += 1
            if any(map(_is_missing, (user, item, time))):
                tally.dropped[INCOMPLETE] += 1
                continue
            item = _checked_id(item, "item", raw, line)
            add((_checked_id(user, "user", raw, line), item, _checked_time(time, unit, raw, line)))
            tally.kept += 1
            items.add(item)
    if not tally.kept:
        raise raw.error(f"none of its {tally.read:,} rows has user, item and time")
    return tally.table(path), items


def write_items(
    folder: Path,
    raw: RawFile,
    columns: tuple[str, ...],
    rows: Iterable[ItemRow],
    known: Collection[str],
) -> Table:
    """Write the table of items.

    A row without an id, of an item without interactions, or of an item that an earlier row lists is
    left out.

    Parameters
    ----------
    folder : where to write `items.parquet`.
    raw : the file that the rows are from.
    columns : the metadata that the format has.
    rows : line, id and metadata of each row.
    known : ids of the items that occur.

    Raises
    ------
    UserError : a row is wrong, or none is of a known item; or the table cannot be written.
    """
    path, tally, seen = folder / "items.parquet", Tally(raw), set[str]()
    schema = pa.schema({name: pa.string() for name in ("item_id", *columns)})
    with writing(path, schema) as add:
        for line, item, metadata in rows:
            tally.read += 1
            if _is_missing(item):
                tally.dropped[WITHOUT_ID] += 1
            elif _checked_id(item, "item", raw, line) not in known:
                tally.dropped[UNUSED] += 1
            elif item in seen:
                tally.dropped[REPEATED] += 1
            else:
                try:
                    texts = metadata()
                except (TypeError, RecursionError) as error:
                    problem = f"line {line} has something else than a text ({error})"
                    raise raw.error(problem) from None
                add((item, *(texts[name] for name in columns)))
                tally.kept += 1
                seen.add(item)
    if not tally.kept:
        raise raw.error(f"none of its {tally.read:,} items has interactions")
    return tally.table(path)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _checked_id(value: Any, kind: str, raw: RawFile, line: int) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise raw.error(f"line {line} has the {kind} {shown(value)[:40]}, which is no id")
    return value


def _checked_time(value: Any, unit: tuple[int, int], raw: RawFile, line: int) -> int:
    """A Unix time as a whole number."""
    moment = int(value) if isinstance(value, str) and re.fullmatch(_DIGITS, value) else value
    if isinstance(moment, float) and moment.is_integer():
        moment = int(moment)
    least, end = unit
    if isinstance(moment, int) and not isinstance(moment, bool) and least <= moment < end:
        return moment
    name = "seconds" if unit == SECONDS else "milliseconds"
    problem = f"line {line} has the time {shown(value)[:40]}, which is no Unix time in {name}"
    raise raw.error(problem)

"""Reading the neutral tables that users bring: CSV, TSV, JSONL (all also .gz) and Parquet."""

from __future__ import annotations

import csv
import difflib
import gzip
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from mmsr.data.folders import cannot
from mmsr.data.importers.readers.delimited import read_delimited, read_header
from mmsr.data.importers.readers.formats import DELIMITERS, JSON, PARQUET, UNQUOTED, check_format
from mmsr.data.importers.readers.json_lines import read_json_lines
from mmsr.data.importers.readers.plain import plain
from mmsr.data.importers.readers.rows import line_of_other_width
from mmsr.errors import UserError

_DAMAGE = (pa.ArrowException, csv.Error, zlib.error, EOFError, LookupError, ValueError, MemoryError)
"""What the readers raise for damaged files, beside OSError."""
_MOST, _LONGEST = 12, 30
"""Most names of columns in a message, and most characters of each."""
SHARED = ("item_id", "vector")
"""Columns that several tables have, perhaps under different names."""
_NEEDED = ("user_id", "timestamp", *SHARED)
"""Columns that some table must have."""


def read_table(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> pa.Table:
    """Read some columns of a table, under the names that mmsr knows them by.

    Parameters
    ----------
    path : the file; its ending decides the format.
    required, optional : names of the columns to read; optional ones may be missing.
    columns : column names in the file by mmsr's names, where they differ. `item_id` and `vector`
        may have their own names in some of the files only: the others are read by mmsr's names.

    Returns
    -------
    pyarrow.Table with at least one row. Delimited text comes as text, all else as typed, but with
    one type for all kinds of texts and one for all kinds of lists: see `plain`.

    Raises
    ------
    UserError : the file is missing, unreadable, of another format, empty or lacks a column.
    """
    return read_with_names(path, required, optional, columns)[0]


def read_with_names(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> tuple[pa.Table, list[str]]:
    """Read a table as `read_table`, and the names of all columns that the file has."""
    columns = columns or {}
    ending = check_format(path)
    wanted = {name for mine in (*required, *optional) for name in (mine, columns.get(mine, mine))}
    with explained(path, ending):
        names, read = _scan(path, ending, wanted)
        chosen = choose(path, names, required, optional, columns)
        table = read(list(chosen.values()))
        if table.num_rows == 0:
            raise empty(path)
        return pa.table(
            {name: plain(table.column(given), name, str(path)) for name, given in chosen.items()}
        ), names


@contextmanager
def explained(path: Path, ending: str) -> Iterator[None]:
    """Context in which a file is read, and errors say why it cannot be.

    Parameters
    ----------
    path, ending : the file and its format.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        if error.errno is None or isinstance(error, gzip.BadGzipFile):
            raise _damaged(path, ending, error) from None
        raise cannot("read", path, error) from None
    except _DAMAGE as error:
        raise _damaged(path, ending, error) from None


def column_names(path: Path) -> list[str]:
    """Names of all columns of a table.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    UserError : as `read_table`.
    """
    ending = check_format(path)
    with explained(path, ending):
        return _scan(path, ending, ())[0]


def choose(
    path: Path,
    names: Sequence[str],
    required: Sequence[str],
    optional: Sequence[str],
    columns: Mapping[str, str],
) -> dict[str, str]:
    """Column names of a file by mmsr's names.

    Parameters
    ----------
    path : the file.
    names : all columns that it has.
    required, optional, columns : as for `read_table`.

    Raises
    ------
    UserError : a column is missing, or is there twice.
    """
    chosen: dict[str, str] = {}
    for name in (*required, *optional):
        given = columns.get(name, name)
        if given not in names and name in SHARED:
            given = name
        if given in names:
            if names.count(given) > 1:
                raise UserError(f"{path} has two columns named {given!r}: rename one")
            if given in chosen.values():
                other = next(mine for mine, taken in chosen.items() if taken == given)
                raise UserError(
                    f"{path}: the column {given!r} cannot be both {other} and {name}: correct "
                    "--columns"
                )
            chosen[name] = given
        elif name in required or name in columns:
            raise _lacking(path, name, columns, names)
    return chosen


def _lacking(path: Path, name: str, columns: Mapping[str, str], names: Sequence[str]) -> UserError:
    """Build the error for a column that is missing, and say how to name the right one."""
    given = columns.get(name, name)
    if len(names) == 1 and (separator := _other_separator(path, names[0])):
        return UserError(
            f"{path} has no column {given!r}, and its columns seem to be separated by "
            f"{separator}: save it with commas as .csv, or with tabs as .tsv"
        )
    close = difflib.get_close_matches(given, filter(str.isprintable, names), n=1)
    message = f"{path} has no column {given!r}"
    message += f": did you mean {close[0]!r}?" if close else ";"
    message += f" known: {listed(names)}"
    if name in _NEEDED and (close or name not in columns):
        message += f"; name it with --columns {name}={close[0] if close else 'COLUMN'}"
    return UserError(message)


def listed(names: Sequence[str]) -> str:
    """Write names of columns for a message: the first of them, cut where they are long.

    Parameters
    ----------
    names : as the file has them.
    """
    shown = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]
    shown = [name if name.isprintable() else repr(name) for name in shown[:_MOST]]
    return ", ".join([*shown, "…"] if len(names) > _MOST else shown)


def _other_separator(path: Path, header: str) -> str | None:
    """What separates the columns of a file whose ending says otherwise, in words."""
    kind = DELIMITERS.get(check_format(path))
    found = [text for text in (";", "\t", "|", ",") if text in header and text != kind]
    return {"\t": "tabs", ",": "commas"}.get(found[0], repr(found[0])) if found else None


def _scan(
    path: Path, ending: str, wanted: Collection[str]
) -> tuple[list[str], Callable[[list[str]], pa.Table]]:
    """Column names of a file, and a function that reads some of those that are wanted."""
    if ending in PARQUET:
        return list(pa.parquet.read_schema(path).names), lambda chosen: _read_parquet(path, chosen)
    if ending in JSON:
        names, table = read_json_lines(path, wanted)
        return names, table.select
    names = read_header(path, ending)
    if not names:
        raise empty(path)
    return names, lambda chosen: read_delimited(path, ending, chosen)


def _read_parquet(path: Path, chosen: list[str]) -> pa.Table:
    """Read columns, and check that texts are UTF-8: Parquet does not say."""
    with pa.parquet.ParquetFile(path) as file:
        table = file.read(chosen)
    table.validate(full=True)
    return table


def empty(path: Path) -> UserError:
    """Build the error for a table without rows."""
    return UserError(f"{path} is empty: give a table with at least one row")


def _damaged(path: Path, ending: str, error: Exception) -> UserError:
    """Explain why a file is not what its ending says."""
    reason = " ".join(str(error).split())[:200]
    if reason.startswith("Empty ") or path.stat().st_size == 0:
        return empty(path)
    if isinstance(error, UnicodeDecodeError) or "UTF8" in reason or "UTF-8" in reason:
        return UserError(f"{path} is not UTF-8 text: convert it")
    if path.suffix.lower() == ".gz" and isinstance(error, OSError | EOFError):
        return UserError(f"{path} is not a whole gzip file: {reason}")
    hint = ": write one JSON object per line" if ending in JSON else ""
    if changed := re.search(r"Column\(/([^/)]+).*\) changed from", reason):
        hint = f": write {changed[1]} in one way in all rows"
    if "Expected all lists to be of size" in reason:
        hint = ": write lists of fixed size, some of them missing, as plain lists"
    hint = ": TSV has no quoting" if "Expected" in reason and ending in UNQUOTED else hint
    reason = _with_line(reason, path, ending)
    return UserError(f"{path} is not readable as {ending.strip('.')}{hint} ({reason})")


def _with_line(reason: str, path: Path, ending: str) -> str:
    """Say the line, as an editor counts, where rows have other widths."""
    if ": Expected " in reason and (line := line_of_other_width(path, ending)):
        return f"{reason}; line {line}"
    return reason

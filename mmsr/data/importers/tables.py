"""Reading the neutral tables that users bring: CSV, TSV, JSONL (all also .gz) and Parquet."""

from __future__ import annotations

import csv
import difflib
import gzip
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from mmsr.data.folders import cannot
from mmsr.data.importers.formats import DELIMITERS, JSON, PARQUET, check_format, open_text
from mmsr.data.importers.rows import line_of, line_of_other_width
from mmsr.errors import UserError

_BLOCK = 1 << 24
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
    pyarrow.Table with at least one row. Delimited text comes as strings, all else as typed.

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
    ending = check_format(path)
    with _explained(path, ending):
        names, read = _scan(path, ending)
        chosen = _choose(path, names, required, optional, columns or {})
        table = read(list(chosen.values()))
    if table.num_rows == 0:
        raise _empty(path)
    return pa.table({name: table.column(given) for name, given in chosen.items()}), names


@contextmanager
def _explained(path: Path, ending: str) -> Iterator[None]:
    """Context in which a file is read, and errors say why it cannot be."""
    try:
        yield
    except (pa.ArrowException, csv.Error, UnicodeDecodeError, EOFError) as error:
        raise _damaged(path, ending, error) from None
    except OSError as error:
        if error.errno is None or isinstance(error, gzip.BadGzipFile):
            raise _damaged(path, ending, error) from None
        raise cannot("read", path, error) from None


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
    with _explained(path, ending):
        return _scan(path, ending)[0]


def _choose(
    path: Path,
    names: Sequence[str],
    required: Sequence[str],
    optional: Sequence[str],
    columns: Mapping[str, str],
) -> dict[str, str]:
    """Column names of this file by mmsr's names."""
    chosen = {}
    for name in (*required, *optional):
        given = columns.get(name, name)
        if given not in names and name in SHARED:
            given = name
        if given in names:
            if names.count(given) > 1:
                raise UserError(f"{path} has two columns named {given!r}: rename one")
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
    close = difflib.get_close_matches(given, names, n=1)
    message = f"{path} has no column {given!r}"
    message += f": did you mean {close[0]!r}?" if close else ";"
    message += f" known: {', '.join(names)}"
    if name in _NEEDED and (close or name not in columns):
        message += f"; name it with --columns {name}={close[0] if close else 'COLUMN'}"
    return UserError(message)


def _other_separator(path: Path, header: str) -> str | None:
    """What separates the columns of a file whose ending says otherwise, in words."""
    kind = DELIMITERS.get(check_format(path))
    found = [text for text in (";", "\t", "|", ",") if text in header and text != kind]
    return {"\t": "tabs", ",": "commas"}.get(found[0], repr(found[0])) if found else None


def _scan(path: Path, ending: str) -> tuple[list[str], Callable[[list[str]], pa.Table]]:
    """Column names of a file, and a function that reads some of them."""
    if ending in PARQUET:
        names = list(pa.parquet.read_schema(path).names)
        return names, lambda chosen: pa.parquet.read_table(path, columns=chosen)
    if ending in JSON:
        options = pa.json.ReadOptions(block_size=_BLOCK)
        table = pa.json.read_json(path, read_options=options)
        return table.column_names, table.select
    with open_text(path) as file:
        names = next(csv.reader(file, delimiter=DELIMITERS[ending]), [])
    if not names:
        raise _empty(path)
    return names, lambda chosen: _read_delimited(path, DELIMITERS[ending], chosen)


def _read_delimited(path: Path, delimiter: str, chosen: list[str]) -> pa.Table:
    """Read columns as text: the caller decides what is a number (ids are not)."""
    return pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(block_size=_BLOCK),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            include_columns=chosen, column_types=dict.fromkeys(chosen, pa.large_string())
        ),
    )


def _empty(path: Path) -> UserError:
    return UserError(f"{path} is empty: give a table with at least one row")


def _damaged(path: Path, ending: str, error: Exception) -> UserError:
    """Explain why a file is not what its ending says."""
    reason = " ".join(str(error).split())[:200]
    if reason.startswith("Empty ") or path.stat().st_size == 0:
        return _empty(path)
    if isinstance(error, UnicodeDecodeError) or "UTF8" in reason:
        return UserError(f"{path} is not UTF-8 text: convert it")
    if path.suffix.lower() == ".gz" and isinstance(error, OSError | EOFError):
        return UserError(f"{path} is not a whole gzip file: {reason}")
    hint = ": write one JSON object per line" if ending in JSON else ""
    reason = _with_line(reason, path)
    return UserError(f"{path} is not readable as {ending.strip('.')}{hint} ({reason})")


def _with_line(reason: str, path: Path) -> str:
    """Say lines, as an editor counts them, where pyarrow says rows of a block, or nothing."""
    if row := re.search(r" in row (\d+)$", reason):
        whole = path.stat().st_size < _BLOCK and path.suffix.lower() != ".gz"
        line = line_of(path, int(row[1])) if whole else None
        return reason[: row.start()] + (f", line {line}" if line else "")
    if ": Expected " in reason and (line := line_of_other_width(path)):
        return f"{reason}; line {line}"
    return reason

"""Reading the neutral tables that users bring: CSV, TSV, JSONL (all also .gz) and Parquet."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from mmsr.data.folders import cannot
from mmsr.errors import UserError, unknown

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
FORMATS = (*_DELIMITERS, *_JSON, *_PARQUET)
"""Endings of the files that can be read; all but Parquet may be followed by `.gz`."""
_BLOCK = 1 << 24
_SHARED = ("item_id", "vector")
"""Columns that several tables have, perhaps under different names."""


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
    ending = check_format(path)
    try:
        names, read = _scan(path, ending)
        chosen = _choose(path, names, required, optional, columns or {})
        table = read(list(chosen.values()))
    except (pa.ArrowException, csv.Error, UnicodeDecodeError, EOFError) as error:
        raise _damaged(path, ending, error) from None
    except OSError as error:
        if error.errno is None or isinstance(error, gzip.BadGzipFile):
            raise _damaged(path, ending, error) from None
        raise cannot("read", path, error) from None
    if table.num_rows == 0:
        raise _empty(path)
    return pa.table({name: table.column(given) for name, given in chosen.items()})


def check_format(path: Path) -> str:
    """Check that a file can be read and has a known format.

    Parameters
    ----------
    path : the file.

    Returns
    -------
    The ending that decides the format, without `.gz`.

    Raises
    ------
    UserError : it is missing, a folder, unreadable, or of an unknown format.
    """
    try:
        with path.open("rb"):
            pass
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give a file ({', '.join(FORMATS)})") from None
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except OSError as error:
        raise cannot("read", path, error) from None
    endings = [suffix.lower() for suffix in path.suffixes]
    zipped = endings[-1:] == [".gz"]
    ending = "".join(endings[:-1][-1:] if zipped else endings[-1:])
    if ending not in FORMATS or (zipped and ending in _PARQUET):
        raise UserError(
            f"unknown format of {path}: the name must end in "
            f"{', '.join(FORMATS)} (text also with .gz behind)"
        )
    return ending


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
        if given not in names and name in _SHARED:
            given = name
        if given in names:
            if names.count(given) > 1:
                raise UserError(f"{path} has two columns named {given!r}: rename one")
            chosen[name] = given
        elif name in required or name in columns:
            missing = unknown("column", columns.get(name, name), names)
            raise UserError(
                f"{path} lacks a column: {missing}; say which one it is with --columns {name}=NAME"
            )
    return chosen


def _scan(path: Path, ending: str) -> tuple[list[str], Callable[[list[str]], pa.Table]]:
    """Column names of a file, and a function that reads some of them."""
    if ending in _PARQUET:
        names = list(pa.parquet.read_schema(path).names)
        return names, lambda chosen: pa.parquet.read_table(path, columns=chosen)
    if ending in _JSON:
        options = pa.json.ReadOptions(block_size=_BLOCK)
        table = pa.json.read_json(path, read_options=options)
        return table.column_names, table.select
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file, delimiter=_DELIMITERS[ending]), [])
    if not names:
        raise _empty(path)
    return names, lambda chosen: _read_delimited(path, _DELIMITERS[ending], chosen)


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
    hint = ": write one JSON object per line" if ending in _JSON else ""
    return UserError(f"{path} is not readable as {ending.strip('.')}{hint} ({reason})")

"""Reading CSV and TSV: every record of the file is a row, or the file is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from mmsr.data.importers.readers.formats import (
    BOM,
    DELIMITERS,
    UNQUOTED,
    open_bytes,
    open_text,
    read_records,
)
from mmsr.data.importers.readers.quotes import (
    blocks_of_records,
    check_lines_in_quotes,
    quoted_fields,
)
from mmsr.errors import UserError

_BLOCK = 1 << 24
_LF, _CR, _QUOTE = b'\n\r"'


@dataclass(frozen=True)
class Scan:
    """What a file of delimited text holds, counted without reading its fields.

    Attributes
    ----------
    records : lines that are not blank, those within quotes not counted.
    quoted_lines : line breaks within quoted fields.
    """

    records: int
    quoted_lines: int


def read_header(path: Path, ending: str) -> list[str]:
    """Names of the columns; none where the file has no text.

    Parameters
    ----------
    path : the file.
    ending : `.csv` or `.tsv`.

    Raises
    ------
    UserError : the names are quoted in a format without quoting.
    UnicodeError : the names are not UTF-8.
    """
    with open_text(path, errors="surrogateescape") as file:  # other columns may hold any bytes
        _, names = next(read_records(file, ending), (0, []))
    "".join(names).encode(errors="surrogateescape").decode()
    quoted = [name for name in names if len(name) > 1 and name[0] == name[-1] == '"']
    if ending in UNQUOTED and quoted:
        raise UserError(
            f"{path} has a column {quoted[0]}, with its quotes: TSV is read without quoting; save "
            "it without quotes, or with commas as .csv"
        )
    return names


def read_delimited(path: Path, ending: str, chosen: list[str]) -> pa.Table:
    """Read columns as text: the caller decides what is a number (ids are not).

    Parameters
    ----------
    path : the file.
    ending : `.csv` or `.tsv`.
    chosen : names of the columns.

    Raises
    ------
    UserError : a quoted field is not closed, or goes on after its closing quote.
    pyarrow.ArrowException : the file is not readable in another way.
    """
    n_rows, options = csv_options(path, ending, chosen, _BLOCK)
    if options["parse_options"].newlines_in_values:
        table = pa.concat_tables(quoted_tables(path, ending, options, _BLOCK))
    else:
        table = pa.csv.read_csv(path, **options)
    check_count(path, n_rows, table.num_rows)
    return table


def csv_options(
    path: Path, ending: str, chosen: list[str], block: int
) -> tuple[int, dict[str, Any]]:
    """Check the quotes of a file, and choose pyarrow's options to read it.

    Parameters
    ----------
    path, ending, chosen : as for `read_delimited`.
    block : bytes that are read at once.

    Returns
    -------
    Number of rows that the file has, and the options.
    """
    quotes = ending not in UNQUOTED
    found = scan(path, DELIMITERS[ending], quotes=quotes)
    if found.quoted_lines:
        check_lines_in_quotes(path, DELIMITERS[ending], len(read_header(path, ending)))
    return found.records - 1, {
        "read_options": pa.csv.ReadOptions(block_size=block),
        "parse_options": pa.csv.ParseOptions(
            delimiter=DELIMITERS[ending],
            quote_char='"' if quotes else False,
            newlines_in_values=found.quoted_lines > 0,
        ),
        "convert_options": pa.csv.ConvertOptions(
            include_columns=chosen, column_types=dict.fromkeys(chosen, pa.large_string())
        ),
    }


def quoted_tables(
    path: Path, ending: str, options: Mapping[str, Any], size: int
) -> Iterator[pa.Table]:
    """Read a file with line breaks in quoted fields, which is held in memory as a whole.

    Parameters
    ----------
    path, ending : the file and its format.
    options : for pyarrow, see `csv_options`.
    size : bytes that are read at once, at least.
    """
    for block in blocks_of_records(path, DELIMITERS[ending], size):
        whole = pa.csv.ReadOptions(block_size=len(block) + 1)
        yield pa.csv.read_csv(pa.BufferReader(block), **{**options, "read_options": whole})


def check_count(path: Path, n_rows: int, n_read: int) -> None:
    """Raise UserError unless as many rows were read as the file has."""
    if n_read != n_rows:
        raise UserError(
            f"{path} has {n_rows:,} rows, but {n_read:,} can be read: write it again, with one "
            "kind of line end and quotes only around whole fields"
        )


def scan(path: Path, delimiter: str, *, quotes: bool) -> Scan:
    """Count the records of a file, and check its quoted fields.

    A quote opens a field only where the field begins; elsewhere it is a character.

    Parameters
    ----------
    path : the file.
    delimiter : what separates the fields.
    quotes : whether the format has quoted fields.

    Raises
    ------
    UserError : a quoted field is not closed, or goes on after its closing quote.
    """
    found = _scan_regular(path, delimiter, quotes=quotes)
    return found if found is not None else _scan_any(path, delimiter)


def _scan_regular(path: Path, delimiter: str, *, quotes: bool) -> Scan | None:
    """Count records if every quote opens or closes a field, or is one of two in a field.

    Then quotes open and close in turn, which is checked for whole blocks; else None.
    """
    runs = quoted_runs = quoted_lines = 0
    inside, before = False, _LF  # as if a line had ended
    edges = [ord(delimiter), _LF, _CR, _QUOTE]
    with open_bytes(path) as file:
        block = file.read(_BLOCK).removeprefix(BOM)
        while block:
            following = file.read(_BLOCK)
            data = np.frombuffer(block, np.uint8)
            breaks = np.flatnonzero((data == _LF) | (data == _CR))
            previous = data[breaks - 1]
            previous[breaks == 0] = before
            begins_run = ~np.isin(previous, (_LF, _CR))
            runs += int(begins_run.sum())
            if quotes and (inside or b'"' in block):
                places = np.flatnonzero(data == _QUOTE)
                opening, closing = places[int(inside) :: 2], places[int(not inside) :: 2]
                last = following[0] if following else _LF
                if not (
                    np.isin(_shifted(data, opening - 1, before), edges).all()
                    and np.isin(_shifted(data, closing + 1, last), edges).all()
                ):
                    return None
                is_quoted = (np.searchsorted(places, breaks) + inside) % 2 == 1
                quoted_runs += int((begins_run & is_quoted).sum())
                quoted_lines += int(is_quoted.sum())
                inside ^= len(places) % 2 == 1
            before = int(data[-1])
            block = following
    if inside:
        return None
    return Scan(runs - quoted_runs + (before not in (_LF, _CR)), quoted_lines)


def _shifted(data: NDArray[np.uint8], places: NDArray[np.int64], outside: int) -> NDArray[np.uint8]:
    """Bytes at places, of which the first or last may be right outside of the block."""
    beyond = (places < 0) | (places >= len(data))
    found = data[np.where(beyond, 0, places)]
    found[beyond] = outside
    return found


def _scan_any(path: Path, delimiter: str) -> Scan:
    """Count records where some quotes are characters like any other, one quote after the other."""
    with open_bytes(path) as file:
        data = file.read().removeprefix(BOM)
    quoted = [data[start:end] for start, end in quoted_fields(path, data, delimiter)]
    lines = _count_lines(data) - sum(_count_lines(field) - 1 for field in quoted)
    return Scan(lines, sum(len(re.findall(rb"[\r\n]", field)) for field in quoted))


def _count_lines(data: bytes) -> int:
    """Lines that are not blank."""
    return len(re.findall(rb"[^\r\n]++", data))

"""Reading JSON lines: one object per line, its texts as they are written."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.json

from mmsr.data.importers.bounded.scratch import MEMORY
from mmsr.data.importers.bounded.staged import Staged
from mmsr.data.importers.readers.formats import BOM, JSON, open_bytes
from mmsr.data.importers.readers.rows import line_of
from mmsr.errors import UserError

_BLOCK = 1 << 24
_LARGEST = (1 << 31) - 1
"""Most bytes that pyarrow reads as one block."""
_DEEPEST = 500
"""Most brackets that are open at once; pyarrow's reader overflows its stack where they nest."""
_LONG_LINE = 2 * _DEEPEST
_OBJECT = ord("{")


def read_json_lines(path: Path, wanted: Collection[str]) -> tuple[list[str], pa.Table]:
    """Read a table of JSON lines.

    Texts stay as they are written; pyarrow alone would make timestamps of those that look like
    dates. A file that is unreadable only in columns that nobody wants is read without them.

    Parameters
    ----------
    path : the file.
    wanted : names of the columns that are of use.

    Returns
    -------
    names : names of all columns.
    table : the columns, those that are wanted among them as far as they exist.

    Raises
    ------
    UserError : a line is no JSON object, or holds several.
    pyarrow.ArrowException : the file is not readable in another way.
    """
    staged = Staged(path, MEMORY)
    names = stage_json_lines(path, wanted, staged, _BLOCK)
    staged.finish({name: name for name in names if name in wanted and names.count(name) == 1})
    return names, pa.concat_tables(staged.tables())


def stage_json_lines(path: Path, wanted: Collection[str], staged: Staged, size: int) -> list[str]:
    """Read a table of JSON lines as `read_json_lines`, in blocks of lines.

    A block may lack columns that others have, and have columns of other types.

    Parameters
    ----------
    path, wanted : as for `read_json_lines`.
    staged : gets the columns that are wanted, those left out whose names stand there twice.
    size : bytes of a block; where a line is longer, more.

    Returns
    -------
    Names of all columns.

    Raises
    ------
    UserError, pyarrow.ArrowException : as `read_json_lines`.
    """
    n_lines, first = _check_lines(path)
    names: list[str] = []
    for block in _blocks_of_lines(path, size):
        try:
            found, table = _read_either(block, wanted, first)
        except pa.ArrowInvalid as error:
            raise pa.ArrowInvalid(_with_line(str(error), path, staged.n_rows)) from None
        for name in found:
            names += [name] * (found.count(name) - names.count(name))
        if table.num_rows:
            once = [name for name in found if name in wanted and found.count(name) == 1]
            staged.add(table.select(once))
    if staged.n_rows != n_lines:
        raise UserError(
            f"{path} has {staged.n_rows:,} rows on {n_lines:,} lines: write one JSON object per "
            "line"
        )
    return names


def _with_line(reason: str, path: Path, before: int) -> str:
    """Say the line, as an editor counts, where pyarrow says the row of a block.

    Parameters
    ----------
    reason : what pyarrow says.
    path : the file.
    before : rows of the file before the block.
    """
    row = re.search(r" in row (\d+)$", reason)
    if row is None:
        return reason
    line = line_of(path, before + int(row[1]), JSON[0])
    return reason[: row.start()] + (f", line {line}" if line else "")


def _blocks_of_lines(path: Path, size: int) -> Iterator[bytes]:
    """The file in blocks that end with a line; at least one, which may be empty."""
    rest = b""
    any_yet = False
    with open_bytes(path) as file:
        block = file.read(size)
        while block:
            following = file.read(size)
            block = rest + block
            end = block.rfind(b"\n") + 1 if following else len(block)
            whole, rest = block[:end], block[end:]
            if whole.strip():
                yield whole
                any_yet = True
            block = following
    if not any_yet:
        yield b""


def _as_text(block: bytes) -> TextIO:
    return io.TextIOWrapper(io.BytesIO(block), encoding="utf-8-sig", newline="")


def _read_either(block: bytes, wanted: Collection[str], first: bytes) -> tuple[list[str], pa.Table]:
    """Read all columns or, where that fails, those alone that are wanted."""
    try:
        table = _read(block, wanted, first)
        return table.column_names, table
    except pa.ArrowInvalid as error:
        try:
            with _as_text(block) as lines:
                names, kept = _project(lines, wanted)
        except ValueError:  # no JSON, or not UTF-8: pyarrow says where
            raise error from None
        if kept is None:
            raise
    return names, _read(kept, wanted, first)


def _check_lines(path: Path) -> tuple[int, bytes]:
    """Number of lines that are not blank, and the first of them; each begins as an object does.

    pyarrow's reader crashes where the first value is `null`, and where values nest too deeply.
    """
    count, lines_before, first, rest = 0, 0, b"", b""
    with open_bytes(path) as file:
        block = file.read(_BLOCK).removeprefix(BOM)
        while block:
            following = file.read(_BLOCK)
            block = rest + block
            end = block.rfind(b"\n") + 1 if following else len(block)
            whole, rest = block[:end], block[end:]
            data = np.frombuffer(whole, np.uint8)
            ends = np.flatnonzero(data == ord("\n"))
            if whole[-1:] not in (b"", b"\n"):
                ends = np.append(ends, len(data))
            starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
            count += len(ends)
            doubtful = (data[np.minimum(starts, len(data) - 1)] != _OBJECT) | (
                ends - starts > _LONG_LINE
            )
            for line in np.flatnonzero(doubtful).tolist():
                text = whole[starts[line] : ends[line]].strip()
                count -= not text
                _check_line(path, lines_before + line + 1, text)
            if not first:
                first = whole.lstrip()[: 1 << 20].partition(b"\n")[0]
            lines_before += len(ends)
            block = following
    return count, first


def _check_line(path: Path, number: int, text: bytes) -> None:
    if text and text[0] != _OBJECT:
        shown = text[:20].decode(errors="replace")
        raise UserError(
            f"{path}: line {number} begins with {shown!r} and is no JSON object: write one JSON "
            "object per line"
        )
    if text.count(b"[") + text.count(b"{") > _DEEPEST:
        data = np.frombuffer(text, np.uint8)
        opens = (data == ord("[")) | (data == _OBJECT)
        closes = (data == ord("]")) | (data == ord("}"))
        if (opens.astype(np.int8) - closes).cumsum(dtype=np.int64).max() > _DEEPEST:
            raise UserError(
                f"{path}: line {number} nests lists or objects deeper than {_DEEPEST}: write "
                "flat columns"
            )


def _read(block: bytes, wanted: Collection[str], first: bytes) -> pa.Table:
    """Read all columns, texts as text; the first line says which are."""
    types = {}
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        row = {}
    for name, value in row.items() if isinstance(row, dict) else ():
        if isinstance(value, str):
            types[name] = pa.large_string()
    table = _parse(block, types)
    dated = {
        name: _without_moments(table.schema.field(name).type)
        for name in wanted
        if table.column_names.count(name) == 1
    }
    again = {name: kind for name, kind in dated.items() if kind != table.schema.field(name).type}
    if again:
        table = _parse(block, types | again)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in wanted:
            column.validate(full=True)  # pyarrow's reader lets bytes pass that are not UTF-8
    return table


def _parse(block: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    # As one block of pyarrow's: it can crash where values are of other kinds in its next block.
    return pa.json.read_json(
        pa.BufferReader(block),
        read_options=pa.json.ReadOptions(block_size=min(len(block) + 1, _LARGEST)),
        parse_options=pa.json.ParseOptions(
            explicit_schema=pa.schema(list(types.items())) if types else None
        ),
    )


def _without_moments(kind: pa.DataType) -> pa.DataType:
    """A type with text where pyarrow has found timestamps."""
    if pa.types.is_timestamp(kind):
        return pa.large_string()
    if pa.types.is_list(kind):
        return pa.list_(_without_moments(kind.value_type))
    return kind


def _project(texts: TextIO, wanted: Collection[str]) -> tuple[list[str], bytes | None]:
    """Names of all columns, and the lines with those alone that are wanted; None where all are.

    Raises
    ------
    ValueError : a line is not JSON, or names a column twice that is wanted.
    """
    names: dict[str, None] = {}
    lines = []
    for text in texts:
        if not text.strip():
            continue
        try:
            row: _Object = json.loads(text, object_pairs_hook=_Object)
        except RecursionError:
            raise ValueError("it nests too deeply") from None
        if not row.repeated.isdisjoint(wanted):
            raise ValueError("a name is there twice")
        names.update(dict.fromkeys(row))
        lines.append(json.dumps({name: row[name] for name in wanted if name in row}))
    if names.keys() <= set(wanted):
        return list(names), None
    return list(names), "\n".join(lines).encode()


class _Object(dict[str, Any]):
    """An object of JSON.

    Attributes
    ----------
    repeated : names that stand in it more than once.
    """

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = Counter(name for name, _ in pairs) if len(pairs) > len(self) else {}
        self.repeated = {name for name, count in names.items() if count > 1}

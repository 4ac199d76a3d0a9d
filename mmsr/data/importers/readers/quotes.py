"""Quoted fields of CSV: where they are, whether they are plausible, and their line breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from mmsr.data.importers.readers.formats import BOM, open_bytes
from mmsr.errors import UserError

_QUOTED = re.compile(rb'"[^"]*+(?:""[^"]*+)*+(")?')
"""A quoted field with its closing quote, if it has one; within, two quotes stand for one."""
_REST_OF_LINE = re.compile(rb"[^\r\n]*+")
_BREAK = re.compile(rb"\r\n|\r|\n")


def quoted_fields(path: Path, data: bytes, delimiter: str) -> Iterator[tuple[int, int]]:
    """Where each quoted field begins and ends.

    Parameters
    ----------
    path : the file, for errors.
    data : its bytes.
    delimiter : what separates the fields.

    Raises
    ------
    UserError : a quoted field is not closed, or goes on after its closing quote.
    """
    edges = (b"", delimiter.encode(), b"\n", b"\r")
    place = data.find(b'"')
    while place >= 0:
        end = place + 1
        if data[max(place - 1, 0) : place] in edges:
            match = _QUOTED.match(data, place)
            assert match is not None  # a quote is there
            end = match.end()
            if not match[1] or data[end : end + 1] not in edges:
                raise _bad_quotes(path, data, place, closed=bool(match[1]))
            yield place, end
        place = data.find(b'"', end)


def blocks_of_records(path: Path, delimiter: str, size: int) -> Iterator[bytes]:
    """The file in blocks of whole records, each with the header before it.

    pyarrow splits a file anywhere, and where that is between CR and LF, it drops the LF, within
    quotes too. It must be given such blocks as a whole.

    Parameters
    ----------
    path : the file.
    delimiter : what separates the fields.
    size : bytes of a block, at least; the last may be smaller.

    Raises
    ------
    UserError : as `quoted_fields`.
    """
    with open_bytes(path) as file:
        data = file.read().removeprefix(BOM).lstrip(b"\r\n")
    start = next(_ends_of_records(path, data, delimiter, 0))
    header = data[:start]
    for end in _ends_of_records(path, data, delimiter, size):
        if end > start or end == len(data):
            yield header + data[start:end]
            start = end


def _ends_of_records(path: Path, data: bytes, delimiter: str, size: int) -> Iterator[int]:
    """Where records end that are at least so many bytes apart, and where the last one ends."""
    start = place = 0
    for left, right in chain(quoted_fields(path, data, delimiter), [(len(data), len(data))]):
        while found := _BREAK.search(data, max(place, start + size), left):
            start = found.end()
            yield start
        place = right
    yield len(data)


def check_lines_in_quotes(path: Path, delimiter: str, width: int) -> None:
    """Refuse a quoted field of several lines if these look like rows.

    Then two lone quotes, one where a field begins and one where a later field ends, may have
    swallowed what is between them. Each field is judged by itself, by the whole lines that it
    touches; a text of several lines has other numbers of delimiters.

    Parameters
    ----------
    path : the file.
    delimiter : what separates the fields.
    width : number of columns.

    Raises
    ------
    UserError : they do.
    """
    gaps = width - 1
    if not gaps:
        return
    with open_bytes(path) as file:
        data = file.read().removeprefix(BOM)
    mark = delimiter.encode()
    line = before = 0
    for start, end in quoted_fields(path, data, delimiter):
        line = max(line, *(data.rfind(sign, before, start) + 1 for sign in (b"\n", b"\r")))
        before = start
        field = data[start:end]
        if b"\n" not in field and b"\r" not in field:
            continue
        match = _REST_OF_LINE.match(data, end)
        assert match is not None  # it matches nothing, too
        if _look_like_rows(data[line:start], field, data[end : match.end()], mark, gaps):
            raise UserError(
                f"{path}: line {_line_at(data, start)} has a quoted field of several lines that "
                "look like rows: write a quote within a quoted field twice, or save the table as "
                "JSONL or Parquet"
            )


def _look_like_rows(head: bytes, field: bytes, tail: bytes, delimiter: bytes, gaps: int) -> bool:
    """Whether the lines of a field have as many delimiters as rows have.

    A delimiter before a blank may be one of prose: such lines may be rows if most others are.

    Parameters
    ----------
    head, field, tail : the field, and what is on its first line before and on its last after it.
    delimiter, gaps : what separates the fields of a row, and how often.
    """
    lines = re.split(rb"[\r\n]+", field)
    if (head + field + tail).count(delimiter) < gaps * len(lines):
        return False  # most texts, at once
    mark = re.escape(delimiter)
    quoted = re.compile(rb'(?:(?<=%b)|^)"[^"]*(?:""[^"]*)*"(?=%b|$)' % (mark, mark))
    before_text = re.compile(mark + rb"(?! )")
    outer = [[head, *[b""] * (len(lines) - 1)], [*[b""] * (len(lines) - 1), tail]]
    possible = certain = 0
    for line, left, right in zip(lines, *outer, strict=True):
        # The quotes of the field, or all of them, may be characters, or the line's own.
        readings = (
            quoted.sub(b"", left) + line + quoted.sub(b"", right),
            quoted.sub(b"", left + line + right),
            left + line + right,
        )
        least = [len(before_text.findall(reading)) for reading in readings]
        most = [reading.count(delimiter) for reading in readings]
        possible += any(low <= gaps <= high for low, high in zip(least, most, strict=True))
        certain += gaps in least
    return possible == len(lines) and 2 * certain > len(lines)


def _bad_quotes(path: Path, data: bytes, place: int, *, closed: bool) -> UserError:
    line = _line_at(data, place)
    problem = "goes on after its closing quote" if closed else "is never closed"
    return UserError(
        f"{path}: line {line} has a quoted field that {problem}: write a quote within a quoted "
        "field twice, or save the table with tabs as .tsv, which has no quoting"
    )


def _line_at(data: bytes, place: int) -> int:
    return len(re.findall(rb"\r\n|\r|\n", data[:place])) + 1

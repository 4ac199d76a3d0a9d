"""A file is named for what it is, whatever its name says."""

from __future__ import annotations

import gzip
import io
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from mmsr.data.importers.readers.formats import check_format
from mmsr.errors import UserError

TABLE = pa.table({"item_id": ["a"]})
TEXT = b"item_id,title\na,b\n"


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


def parquet() -> bytes:
    file = io.BytesIO()
    pa.parquet.write_table(TABLE, file)
    return file.getvalue()


def feather() -> bytes:
    file = io.BytesIO()
    pa.feather.write_feather(TABLE, file)
    return file.getvalue()


def numpy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(3))
    return file.getvalue()


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table items (item_id)")
    return connection.serialize()


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(TEXT), r"is a gzip file: rename it to a\.(csv|tsv|jsonl)\.gz"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "is a spreadsheet: save it as CSV"),
        (zipped("mimetype"), "is a spreadsheet: save it as CSV"),
        (zipped("rows.csv"), "is a zip archive: unpack it"),
        (parquet(), r"is a Parquet file: rename it to \.parquet"),
        (feather(), r"is an Arrow \(Feather\) file: save it as Parquet"),
        (numpy(), "is a NumPy file"),
        (database(), "is an SQLite database"),
        ("item_id".encode("utf-16"), "is UTF-16 text: convert it to UTF-8"),
        (b"<!DOCTYPE html>", "is a web page: download the table itself"),
    ],
)
def test_a_file_is_named_for_what_it_is(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} {message}"):
        check_format(tmp_path / name)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(content))
    if not content.startswith(b"\x1f\x8b"):
        with pytest.raises(UserError, match=message):
            check_format(packed)


@pytest.mark.parametrize(
    ("content", "message"),
    [(gzip.compress(parquet()), "is a gzip file: unpack it"), (zipped("a"), "is a zip archive")],
)
def test_what_is_named_parquet(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        check_format(path)
    path.write_bytes(parquet())
    assert check_format(path) == ".parquet"


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(UserError, match="is no name of a file"):
        check_format(Path("a\0.csv"))

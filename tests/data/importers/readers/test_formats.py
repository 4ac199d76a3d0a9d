"""A file is named for what it is, whatever its name says."""

from __future__ import annotations

import bz2
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

from mmsr.data.importers.readers.formats import BOM, check_format
from mmsr.data.importers.readers.tables import read_table
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
        (gzip.compress(TEXT, mtime=0), r"is a gzip file: rename it to a\.(csv|tsv|jsonl)\.gz"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "is a spreadsheet: save it as CSV"),
        (zipped("mimetype"), "is a spreadsheet: save it as CSV"),
        (zipped("rows.csv"), "is a zip archive: unpack it"),
        (parquet(), r"is a Parquet file: rename it to \.parquet"),
        (feather(), r"is an Arrow \(Feather\) file: save it as Parquet"),
        (b"PARE\x40\0\0\0\x9f\x12", "is an encrypted Parquet file: save it as CSV"),
        (bz2.compress(TEXT), "is a bzip2 file: unpack it"),
        (b"%PDF-1.7\n", "is a PDF document"),
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
    packed.write_bytes(gzip.compress(content, mtime=0))
    if not content.startswith(b"\x1f\x8b"):
        with pytest.raises(UserError, match=message):
            check_format(packed)


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz"])
@pytest.mark.parametrize(
    "name", ["PARENT_ASIN", "PAR1_date", "PAR1", "BZh", "BZh9_size", "ARROW1", "ARROW1_x", "%PDF"]
)
def test_a_column_is_named_like_a_format(name: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    text = f"{name},item_id\nx,a\n".replace(",", "," if "csv" in ending else "\t").encode()
    path.write_bytes(gzip.compress(text, mtime=0) if ending.endswith("gz") else text)
    assert read_table(path, ("item_id",)).to_pydict() == {"item_id": ["a"]}
    path.write_bytes(gzip.compress(BOM + text, mtime=0) if ending.endswith("gz") else BOM + text)
    assert read_table(path, (name,)).to_pydict() == {name: ["x"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(parquet(), mtime=0), "is a gzip file: unpack it"),
        (zipped("a"), "is a zip archive"),
    ],
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

"""Every kind of bad input is one line that says what to do, and leaves nothing behind."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mmsr.data import Dataset, ImportSettings, Sources, prepare
from mmsr.errors import UserError

WriteTable = Callable[..., Path]
ITEMS = [f"i{i}" for i in range(12)]
VECTORS: dict[str, Any] = {item: [float(i), 1.0, 0.5] for i, item in enumerate(ITEMS)}


def refused(message: str, sources: Sources, settings: ImportSettings | None = None) -> None:
    with pytest.raises(UserError, match=message) as caught:
        prepare("d", sources, settings)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="unknown data set 'd'"):
        Dataset.open("d")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.xlsx", b"", r"unknown format of .*rows.xlsx: the name must end in .csv"),
        ("rows", b"", "unknown format"),
        ("rows.parquet.gz", b"", "unknown format"),
        ("rows.csv", b"", "is empty"),
        ("rows.jsonl", b"", "is empty"),
        ("rows.parquet", b"", "is empty"),
        ("rows.csv", b"user_id,item_id,timestamp\n", "is empty"),
        ("rows.csv", b"user_id,item_id,time\na,b,1\n", r"'timestamp': did you mean 'time'\?"),
        ("rows.csv", b"user_id,item_id,timestamp\na,b,1,7\n", "not readable as csv"),
        ("rows.csv", b"user_id,user_id,timestamp\na,b,1\n", "two columns named 'user_id'"),
        ("rows.csv", b"user_id,item_id,timestamp\n\xfc,b,1\n", "is not UTF-8 text"),
        ("rows.csv", b"user_id,item_id,timestamp\n,b,1\n", "line 2 has no user_id"),
        ("rows.csv", b"user_id,item_id,timestamp\na,,1\n", "line 2 has no item_id"),
        ("rows.csv", b"user_id,item_id,timestamp\na,b,\n", "line 2 has no timestamp"),
        ("rows.csv", b"user_id,item_id,timestamp\na,b,1\na,b,soon\n", "line 3 has .* 'soon'"),
        ("rows.csv", b"user_id,item_id,timestamp\na,b,1\na,b,inf\n", "line 3 has timestamp inf"),
        ("rows.csv", b"user_id,item_id,timestamp\na,b,1\na,c,2014-01-01\na,d,3\n", "line 3 has"),
        ("rows.csv.gz", b"user_id,item_id,timestamp\n", "not a whole gzip file"),
        (
            "rows.csv.gz",
            gzip.compress(b"user_id,item_id" * 99, mtime=0)[:-20],
            "not a whole gzip file",
        ),
        ("rows.jsonl.gz", b"no", "not a whole gzip file"),
        ("rows.jsonl", b'[{"user_id": 1}]', "write one JSON object per line"),
        ("rows.jsonl", b"{'user_id': 1}", "write one JSON object per line"),
        ("rows.parquet", b"PAR1 and no more", "not readable as parquet"),
    ],
)
def test_files_that_hold_no_interactions(
    name: str, content: bytes, message: str, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused(message, Sources(path))


def test_missing_file_and_folder(home: Path, tmp_path: Path) -> None:
    refused("no such file: .*nothing.csv", Sources(tmp_path / "nothing.csv"))
    refused("is a folder: give a file", Sources(tmp_path))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("user_id", [1.5, 2.0], "user_id is double: ids must be text or whole numbers"),
        ("user_id", [[1], [2]], "ids must be text or whole numbers"),
        ("user_id", [None, None], "row 1 has no user_id"),
        ("item_id", ["a", None], "row 2 has no item_id"),
        ("timestamp", [True, False], "timestamp is bool: use numbers or ISO dates"),
        ("timestamp", [1.0, math.nan], "row 2 has no timestamp|row 2 has timestamp nan"),
        ("timestamp", [1.0, math.inf], "row 2 has timestamp inf"),
        ("timestamp", [pd.Timestamp("2014-01-01"), None], "row 2 has no timestamp"),
        ("timestamp", [2**63, 2**63 + 1], "beyond 64 bits"),
    ],
)
def test_typed_columns_that_cannot_be_used(
    column: str, values: list[Any], message: str, home: Path, write_table: WriteTable
) -> None:
    rows = {"user_id": ["a", "a"], "item_id": ["x", "y"], "timestamp": [1, 2], column: values}
    refused(message, Sources(write_table("rows.parquet", rows)))


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("r.csv", "user_id,item_id,timestamp\na,b,1\n,c,2\n", "line 3"),
        ("r.csv", "user_id,item_id,timestamp\n\na,b,1\n\n,c,2\n", "line 5"),
        ("r.csv", 'user_id,item_id,timestamp,x\na,b,1,"y\ny"\n,c,2,\n', "line 4"),
        ("r.tsv", 'user_id\titem_id\ttimestamp\na\t"b\t1\n\t"c\t2\n', "line 3"),
        ("r.csv", "user_id,item_id,timestamp\r\na,b,1\r\n,c,2\r\n", "line 3"),
        (
            "r.jsonl",
            '{"user_id": "a", "item_id": "b", "timestamp": 1}\n\n{"item_id": "c"}\n',
            "line 3",
        ),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_rows_of_text_are_named_by_their_line(
    name: str, content: str, where: str, zipped: bool, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(content.encode()) if zipped else content.encode())
    refused(f"{name}.*: {where} has no user_id: every row needs one$", Sources(path))


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("r.csv", "user_id,item_id,timestamp\na,b,1\n\na,b,1,7\n", "a,b,1,7; line 4"),
        ("r.jsonl", '{"user_id": 1}\n\n{"user_id": 1\n{"user_id": 2}\n', ", line 3"),
        ("r.jsonl", '{"item_id": 1}\n\n{"item_id": "x"}\n', "number to string, line 3"),
    ],
)
def test_damaged_text_is_named_by_its_line(
    name: str, content: str, where: str, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content)
    refused(rf"{where}\)$", Sources(path))


def test_rows_of_parquet_say_how_they_are_counted(home: Path, write_table: WriteTable) -> None:
    rows = {"user_id": ["a", None], "item_id": ["x", "y"], "timestamp": [1, 2]}
    message = r"row 2 has no user_id: every row needs one \(rows are counted from 1\)$"
    refused(message, Sources(write_table("rows.parquet", rows)))


def test_rows_without_a_vector_count(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    rows = {"item_id": ["i1", "i2", None, "i3"], "vector": ["1 1", "", "2 2", "3 3"]}
    for name, where in (("v.csv", "line 4"), ("v.parquet", "row 3")):
        features = {"image": write_table(name, rows)}
        refused(f"{where} has no item_id", Sources(write_table("r.csv", purchases), None, features))


@pytest.mark.parametrize(
    ("name", "header", "separator"),
    [
        ("r.csv", "customer;sku;when", "';'"),
        ("r.csv", "customer\tsku\twhen", "tabs"),
        ("r.csv", "user_id|item_id|timestamp", r"'\|'"),
        ("r.tsv", "customer,sku,when", "commas"),
        ("r.tsv", "customer;sku;when", "';'"),
    ],
)
def test_another_separator_is_named(
    name: str, header: str, separator: str, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(f"{header}\n")
    message = f"seem to be separated by {separator}: save it with commas as .csv, or with tabs as"
    refused(message, Sources(path), ImportSettings(columns={"user_id": "customer"}))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"user_id": "custmer"},
            "has no column 'custmer': did you mean 'customer'[?] known: customer, sku, timestamp; "
            "name it with --columns user_id=customer$",
        ),
        (
            {"user_id": "customer"},
            "has no column 'item_id'; known: customer, sku, timestamp; "
            "name it with --columns item_id=COLUMN$",
        ),
        (
            {"customer": "user_id"},
            "^--columns customer=user_id: write it the other way round: --columns user_id=customer",
        ),
        ({"buyer": "customer"}, "^--columns buyer=customer: unknown standard name 'buyer'; known"),
    ],
)
def test_a_missing_column_is_said_once(
    columns: dict[str, str], message: str, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "r.csv"
    path.write_text("customer,sku,timestamp\na,b,1\n")
    refused(message, Sources(path), ImportSettings(columns=columns))


def test_a_mapping_that_no_table_needs_is_refused(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    vectors = {"item_id": list(VECTORS), "vector": list(VECTORS.values())}
    features = {"image": write_table("v.parquet", vectors)}
    sources = Sources(write_table("r.csv", purchases), features=features)
    for name, given in (("item_id", "asin"), ("vector", "v")):
        message = f"^--columns {name}={given}: no table has a column {given!r}, and all have"
        refused(message, sources, ImportSettings(columns={name: given}))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": "user_id"}, "the column 'user_id' cannot be both user_id and item_id"),
        ({"timestamp": "item_id"}, "the column 'item_id' cannot be both item_id and timestamp"),
        ({"user_id": "timestamp"}, "the column 'timestamp' cannot be both user_id and timestamp"),
    ],
)
@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.parquet"])
def test_a_column_is_one_thing(
    columns: dict[str, str],
    message: str,
    name: str,
    home: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    sources = Sources(write_table(name, purchases))
    refused(f"{message}: correct --columns", sources, ImportSettings(columns=columns))


def test_nothing_left_and_histories_too_short(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    path = write_table("rows.csv", purchases)
    refused("nothing is left of 240 interactions", Sources(path), ImportSettings(core=50))
    short = {key: [*values, values[0]] for key, values in purchases.items()}
    short["user_id"][-1] = "lonely"
    message = "1 of 31 users have a history shorter than two, e.g. 'lonely': use --core 2"
    refused(message, Sources(write_table("short.csv", short)), ImportSettings(core=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"i3": [1.0, math.nan, 0.0]}, "image vector of item 'i3' has nan at position 1"),
        ({"i3": [math.inf, 1.0, 0.0]}, "image vector of item 'i3' has inf at position 0"),
        ({"i3": [1e300, 1.0, 0.0]}, "image vector of item 'i3' has inf at position 0"),
        ({"i3": [1.0, 1.0, -1e30]}, "has -1e.30 at position 2: .* at most 1e.12 in size"),
        ({"i3": [1.0, None, 0.0]}, "image vector of item 'i3' has nan at position 1"),
        ({"i3": [1.0]}, "image vector of item 'i3' has 1 numbers, expected 3"),
        ({"i3": []}, "image vector of item 'i3' has 0 numbers, expected 3"),
        ({item: [1.0, 2.0, 3.0] for item in ITEMS}, "all 12 image vectors are equal"),
        ({item: [] for item in ITEMS}, "has 0 numbers, expected one or more"),
        ({item: ["a", "b"] for item in ITEMS}, "must be lists of numbers"),
        (dict.fromkeys(ITEMS), "has no image vectors"),
        (dict.fromkeys(ITEMS, 3.5), "image vectors are double: give lists of numbers"),
        (dict.fromkeys(ITEMS[1:]), "only one item has a vector of image"),
    ],
)
@pytest.mark.parametrize("name", ["v.parquet", "v.jsonl"])
def test_vectors_that_cannot_be_used(
    changes: dict[str, Any],
    message: str,
    name: str,
    home: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    vectors = {**VECTORS, **changes}
    if name == "v.jsonl" and changes.get("i3") == [math.inf, 1.0, 0.0]:
        pytest.skip("JSON has no infinity")
    path = write_table(name, {"item_id": list(vectors), "vector": list(vectors.values())})
    refused(message, Sources(write_table("r.csv", purchases), features={"image": path}))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("i1", "1 2 x"), ("i2", "1 2 3")], "must be lists of numbers"),
        ([("i1", "[1, 2]"), ("i1", "[1, 3]")], "item 'i1' has two different image vectors"),
        ([("i1", "nan 1"), ("i2", "2 3")], "item 'i1' has nan"),
        (
            [("I1", "1 1"), ("I2", "2 3")],
            "none of its 2 items occurs .* it has 'I1'.* in case",
        ),
        ([("", "1 1"), ("i2", "2 3")], "line 2 has no item_id"),
        ([("i1", ""), ("i2", " ")], "has no image vectors"),
    ],
)
def test_vectors_as_text_that_cannot_be_used(
    rows: list[tuple[str, str]],
    message: str,
    home: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    path = write_table("v.csv", pd.DataFrame(rows, columns=["item_id", "vector"]))
    refused(message, Sources(write_table("r.csv", purchases), features={"image": path}))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"item_id": ["i1", "i1"], "title": ["a", "b"]}, "'i1' is listed twice with a different"),
        ({"item_id": ["i1", "i1"], "title": ["a", None]}, "'i1' is listed twice with a different"),
        ({"item_id": ["i1", "i2"], "title": ["!?", ".."]}, "no words that tell them apart"),
        ({"item_id": ["i1", "i2"], "title": ["same one"] * 2}, "no words that tell them apart"),
        ({"item_id": ["i1", "i2"], "title": [{"a": 1}, {"a": 2}]}, "title is struct"),
        (
            {"title": ["a", "b"]},
            "has no column 'item_id'; known: title; name it with --columns item_id=COLUMN$",
        ),
    ],
)
def test_items_that_cannot_be_used(
    items: dict[str, list[Any]],
    message: str,
    home: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    refused(message, Sources(write_table("r.csv", purchases), write_table("i.parquet", items)))


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a b", "x" * 101, "é"])
def test_bad_dataset_names(name: str, home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bad data set name"):
        prepare(name, Sources(tmp_path / "rows.csv"))


@pytest.mark.parametrize("modality", ["", "a b", "../image", "item", "1st", "x" * 33])
def test_bad_modality_names(modality: str, home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bad modality name"):
        prepare("d", Sources(tmp_path / "rows.csv", features={modality: tmp_path / "v.csv"}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "ration"}, r"unknown protocol 'ration': did you mean 'ratio'\?"),
        ({"test_from": "2014-01-01"}, "--test-from is for --protocol temporal and cold-items"),
        (
            {"columns": {"user": "u"}},
            r"^--columns user=u: unknown standard name 'user': did you mean 'user_id'\?",
        ),
        (
            {"columns": {"timestamp": "date"}},
            "r.csv has no column 'date'; known: user_id, item_id, timestamp$",
        ),
        ({"columns": {"title": "name"}}, "no items table is given"),
        ({"columns": {"vector": "v"}}, "no features are given"),
        ({"text_from": ("title",)}, "there is no items table"),
        (
            {"protocol": "temporal", "test_from": "soon"},
            "^--test-from is 'soon': use a number or an ISO date",
        ),
        ({"protocol": "temporal", "test_from": "2014-01-01"}, "the timestamps are numbers"),
        ({"protocol": "temporal", "test_from": "1"}, "two moments or more before test begins"),
        ({"protocol": "temporal", "test_from": "1000"}, "leaves no test target"),
    ],
)
def test_settings_that_do_not_fit(
    settings: dict[str, Any],
    message: str,
    home: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    refused(message, Sources(write_table("r.csv", purchases)), ImportSettings(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"core": 0}, "--core is 0: it should be greater than or equal to 1"),
        ({"text_width": 1}, "--text-width is 1"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_settings_out_of_range(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ImportSettings.checked(**settings)

"""JSON lines: what crashes pyarrow is refused before it, and texts stay as they are written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from mmsr.data.importers.columns import as_ids
from mmsr.data.importers.interactions import read_interactions
from mmsr.data.importers.readers import json_lines
from mmsr.data.importers.readers.rows import Rows
from mmsr.data.importers.readers.tables import column_names, read_table
from mmsr.errors import UserError


def written(folder: Path, *rows: object, name: str = "rows.jsonl") -> Path:
    path = folder / name
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    data = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("block", [3, 1 << 24])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json"])
@pytest.mark.parametrize(
    ("rows", "line", "begin"),
    [
        (["null"], 1, "null"),
        (['{"item_id": 1}', "", "  null"], 3, "null"),
        (["true"], 1, "true"),
        (['{"item_id": 1}', "[1]"], 2, r"\[1\]"),
        (['[{"item_id": 1}]'], 1, r'\[{"item_id": 1}\]'),
        (["{", '"item_id": 1', "}"], 2, '"item_id": 1'),
    ],
)
def test_lines_that_are_no_objects(rows, line, begin, name, block, tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK", block)
    path = written(tmp_path, *rows, name=name)
    with pytest.raises(UserError, match=rf": line {line} begins with '{begin}' and is no JSON obj"):
        read_table(path, ("item_id",))


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_values_that_nest_too_deeply(bracket: str, tmp_path: Path) -> None:
    path = written(tmp_path, {"item_id": 1}, '{"a":' + bracket * 100_000)
    with pytest.raises(UserError, match="line 2 nests lists or objects deeper than 500"):
        read_table(path, ("item_id",))
    wide = written(tmp_path, {"item_id": 1, "a": [[1]] * 1000})
    assert read_table(wide, ("item_id",)).num_rows == 1


@pytest.mark.parametrize("last", ['{"item_id": 1}{"item_id": 2}', '{"item_id": 1} null'])
def test_several_objects_on_a_line(last: str, tmp_path: Path) -> None:
    path = written(tmp_path, {"item_id": 0}, last)
    with pytest.raises(UserError, match="has 3 rows on 2 lines: write one JSON object per line"):
        read_table(path, ("item_id",))


@pytest.mark.parametrize("first", ["2014-07-23", None, "2014-07-23 10:00:00"])
def test_ids_that_look_like_dates_stay_as_written(first: str | None, tmp_path: Path) -> None:
    ids = [first, "2014-07-24", "2014-07-25 00:00:00"]
    path = written(tmp_path, *({"item_id": text, "title": text} for text in ids))
    table = read_table(path, ("item_id", "title"))
    assert table.column("item_id").to_pylist() == ids
    assert table.column("title").to_pylist() == ids


def test_categories_that_look_like_dates_stay_as_written(tmp_path: Path) -> None:
    path = written(tmp_path, {"item_id": "a", "categories": ["2014-07-23"]})
    table = read_table(path, ("item_id", "categories"))
    assert table.column("categories").to_pylist() == [["2014-07-23"]]


def test_dates_as_ids_and_times(tmp_path: Path) -> None:
    rows = [
        {"user_id": f"2014-07-0{user}", "item_id": "2014-01-01", "timestamp": f"2014-07-0{day}"}
        for user in (1, 2)
        for day in (1, 2)
    ]
    found = read_interactions(written(tmp_path, *rows), 1, {})
    assert found.user_ids.to_pylist() == ["2014-07-01", "2014-07-02"]
    assert found.times.dated
    assert found.times.show(found.times.values[1].item()) == "2014-07-02T00:00:00"


@pytest.mark.parametrize(
    ("unused", "other"),
    [
        ({"price": 1}, {"price": "1.50 EUR"}),
        ({"price": {"eur": 1}}, {"price": [1]}),
        ({"price": 1}, {"price": 2, "more": {"price": True}, "note": "\ud800"}),
    ],
)
def test_a_column_that_nobody_needs_refuses_nothing(unused, other, tmp_path):
    path = written(
        tmp_path,
        {"item_id": 2**53 + 1, "title": "2014-07-23"} | unused,
        {"item_id": 2**53, "title": "b"} | other,
    )
    table = read_table(path, ("item_id",), ("title",))
    assert table.to_pydict() == {
        "item_id": [2**53 + 1, 2**53],
        "title": ["2014-07-23", "b"],
    }
    assert set(column_names(path)) == {"item_id", "title"} | unused.keys() | other.keys()


@pytest.mark.parametrize(
    "more",
    ['"a": 1, "a": 2', '"a": {"item_id": 1, "item_id": 2}, "a": 3', '"a": [{"b": 1, "b": 2}]'],
)
def test_a_name_that_nobody_needs_may_stand_twice(more: str, tmp_path: Path) -> None:
    path = written(tmp_path, '{"item_id": "x", "a": 1}', f'{{"item_id": "y", {more}}}')
    assert read_table(path, ("item_id",)).to_pydict() == {"item_id": ["x", "y"]}
    assert column_names(path) == ["item_id", "a"]


@pytest.mark.parametrize(
    ("first", "other"), [(7, "B07"), ("B07", 7), ("a", ["a"]), (["a"], "a"), (["a"], [1])]
)
def test_values_of_mixed_kinds(first: object, other: object, tmp_path: Path) -> None:
    path = written(tmp_path, {"item_id": first, "x": 1}, {"item_id": other, "x": 2})
    with pytest.raises(UserError, match=r"jsonl: write item_id in one way in all rows .*line 2"):
        read_table(path, ("item_id",))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"item_id": 1, "price": 1}, {"item_id": "b", "price": ""}], "number to string, line 2"),
        ([{"item_id": 1}, {"item_id": "b"}], "number to string, line 2"),
        ([{"item_id": 1}, '{"item_id": 1, "item_id": 2}'], "twice, line 2"),
        ([{"item_id": 1}, '{"item_id": 1'], "not readable as jsonl: write one JSON object per"),
    ],
)
def test_what_is_needed_is_refused(rows, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read_table(written(tmp_path, *rows), ("item_id",))


def test_whole_numbers_beyond_64_bits_are_no_ids(tmp_path: Path) -> None:
    path = written(tmp_path, {"item_id": 2**64 + 1}, {"item_id": 2**64 + 2})
    column = read_table(path, ("item_id",)).column("item_id")
    with pytest.raises(UserError, match=r"line 1 has item_id 18446744073709551616 as double"):
        as_ids(column, "item_id", Rows(path))

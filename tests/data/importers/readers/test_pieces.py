"""Foreign files come in pieces whose size does not depend on the file's, and nothing is lost."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mmsr.data.importers.bounded import scratch as scratch_module
from mmsr.data.importers.bounded.scratch import Limits
from mmsr.data.importers.foreign import sequences
from mmsr.data.importers.foreign.atomic import Atomic
from mmsr.data.importers.foreign.base import Foreign
from mmsr.data.importers.foreign.parts import Parts
from mmsr.data.importers.foreign.sequences import Sequences
from mmsr.data.importers.readers import blocks, delimited, json_lines
from mmsr.data.importers.readers.pieces import read_pieces
from mmsr.data.importers.readers.tables import column_names, read_table
from mmsr.errors import UserError

WANTED = ("user_id", "item_id", "timestamp")
HEADERS = {
    "csv": "user_id,item_id,timestamp",
    "tsv": "user_id\titem_id\ttimestamp",
    "inter": "user_id:token\titem_id:token\ttimestamp:float",
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Blocks are of half a kilobyte, and all of them go to files."""
    monkeypatch.setattr(scratch_module, "LIMITS", Limits(block_bytes=512, memory_bytes=0))
    monkeypatch.setattr(sequences, "PIECE", 20)


def written(path: Path, n: int) -> Path:
    """A file of `n` interactions, in the format that its name says."""
    kind = path.name.partition(".")[2].removesuffix(".gz")
    rows = [(f"u{row // 5}", f"i{row % 7}", row) for row in range(n)]
    if kind == "jsonl":
        lines = [json.dumps(dict(zip(WANTED, row, strict=True))) for row in rows]
    elif kind == "txt":
        lines = [f"u{user} " + " ".join(["i"] * 5) for user in range(n // 5)]
    else:
        mark = "," if kind == "csv" else "\t"
        lines = [HEADERS[kind], *(mark.join(map(str, row)) for row in rows)]
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)
    return path


def pieces_of(path: Path) -> list[pa.Table]:
    table: Foreign = Parts((path,), str(path))
    if ".inter" in path.name:
        table = Atomic(path)
    elif ".txt" in path.name:
        table = Sequences(path)
    return list(table.pieces(WANTED))


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "jsonl", "jsonl.gz", "inter", "txt"])
def test_pieces_do_not_grow_with_the_file(ending: str, home: Path, tmp_path: Path) -> None:
    largest = []
    for n in (200, 2_000):
        pieces = pieces_of(written(tmp_path / f"{n}.{ending}", n))
        assert sum(piece.num_rows for piece in pieces) == n
        assert len({piece.schema for piece in pieces}) == 1
        largest.append(max(piece.num_rows for piece in pieces))
    assert largest[1] <= largest[0] < 60
    assert not (home / "imports").exists()


@pytest.mark.parametrize("ending", ["csv", "jsonl", "inter"])
def test_the_rows_are_those_of_the_file(ending: str, tmp_path: Path) -> None:
    found = pa.concat_tables(pieces_of(written(tmp_path / f"t.{ending}", 300)))
    assert found.column("user_id").to_pylist() == [f"u{row // 5}" for row in range(300)]
    assert list(map(int, found.column("timestamp").to_pylist())) == list(range(300))


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        pieces_of(path)
    return str(caught.value)


@pytest.mark.parametrize("zipped", ["", ".gz"])
def test_a_broken_object_is_named_by_its_line(zipped: str, tmp_path: Path) -> None:
    lines = [json.dumps({"user_id": "a", "item_id": "b", "timestamp": n}) for n in range(90)]
    lines[3] = ""
    lines[70] = '{"user_id": "a", "item_id": oh}'
    path = tmp_path / f"t.jsonl{zipped}"
    text = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(text) if zipped else text)
    assert refused(path).endswith(", line 71)")
    with pytest.raises(UserError, match=r", line 71\)$"):
        read_table(path, WANTED)


def test_a_row_of_another_width_is_named_by_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", 200)
    path.write_text(path.read_text().replace("u30,i3,150", "\nu30,i3"))
    assert "Expected 3 columns, got 2" in refused(path)
    assert refused(path).endswith("; line 153)")


@pytest.mark.parametrize(("row", "line"), [(0, 1), (4, 1), (5, 3), (1999, 401)])
def test_the_line_of_an_item_in_a_sequence(row: int, line: int, tmp_path: Path) -> None:
    path = written(tmp_path / "t.txt", 2_000)
    path.write_text(path.read_text().replace("u1 ", "\nu1 ", 1))
    assert Sequences(path).place(row) == (f"{path}: line {line}", "")


def values(path: Path, name: str) -> list[Any]:
    pieces = list(read_pieces(path, [name, "more"]))
    assert len({piece.schema for piece in pieces}) == 1
    return [row for piece in pieces for row in piece.column(name).to_pylist()]


def lines_of(path: Path, column: Sequence[Any], **more: Any) -> Path:
    path.write_text("\n".join(json.dumps({"v": value, "other": 1} | more) for value in column))
    return path


@pytest.mark.parametrize(
    "column",
    [
        [[1, 2]] * 40 + [None] * 40 + [[0.5, 3]] * 40,
        [None] * 60 + [[]] * 40 + [["a"]] * 40,
        [None] * 60 + [7] * 60,
        [1] * 60 + [1.5] * 60,
        [[{"a": 1, "b": None}]] * 60 + [[{"a": 0.5, "b": [1]}]] * 60,
        [None] * 80,
    ],
)
def test_blocks_of_json_whose_types_differ(column: list[Any], tmp_path: Path) -> None:
    assert values(lines_of(tmp_path / "t.jsonl", column), "v") == column


def test_objects_whose_fields_differ_between_blocks(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "t.jsonl", [[{"a": 1}]] * 60 + [[{"b": ["x"]}]] * 60)
    assert values(path, "v") == [[{"a": 1, "b": None}]] * 60 + [[{"a": None, "b": ["x"]}]] * 60


def test_json_without_any_of_the_columns_still_has_rows(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "t.jsonl", range(100))
    pieces = list(read_pieces(path, ["user_id"]))
    assert sum(piece.num_rows for piece in pieces) == 100
    path.write_text(f"{path.read_text()}\n" + '{"w": 1}\n' * 200 + '{"v": 5}\n')
    assert values(path, "v") == [*range(100), *[None] * 200, 5]
    assert column_names(path) == ["v", "other", "w"]


@pytest.mark.parametrize("column", [[1] * 60 + [True] * 60, [[1]] * 60 + ["a"] * 60])
def test_json_that_changes_its_mind_is_refused_by_all_readers(
    column: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "_BLOCK", 512)
    path = lines_of(tmp_path / "t.jsonl", column)
    with pytest.raises(UserError, match="write v in one way in all rows"):
        values(path, "v")
    with pytest.raises(UserError, match="write v in one way in all rows"):
        read_table(path, ["v"])


def test_a_long_line_is_read_in_larger_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK", 64)
    monkeypatch.setattr(scratch_module, "LIMITS", Limits(block_bytes=4_096))
    texts = [f"v{n}" for n in range(50)] + ["x" * 1_500] + [f"w{n}" for n in range(50)]
    (tmp_path / "t.csv").write_text("".join(f"{line},1\n" for line in ["v", *texts]))
    assert values(tmp_path / "t.csv", "v") == texts


def test_a_long_header_is_read_in_larger_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK", 64)
    monkeypatch.setattr(scratch_module, "LIMITS", Limits(block_bytes=4_096))
    names = ",".join(["v", *(f"other{n}" for n in range(50))])
    (tmp_path / "t.csv").write_text(f"{names}\n7{',' * 50}\n")
    assert values(tmp_path / "t.csv", "v") == ["7"]


@pytest.mark.parametrize("zipped", ["", ".gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_breaks_in_quotes_stay_at_the_borders_of_blocks(
    mark: str, zipped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = [f"a{n}\r\nb{n}\r" for n in range(200)]
    text = (mark + "v,other\r\n" + "".join(f'"{value}",1\r\n' for value in column)).encode()
    path = tmp_path / f"t.csv{zipped}"
    path.write_bytes(gzip.compress(text) if zipped else text)
    for size in (64, 65, 67):
        monkeypatch.setattr(blocks, "_BLOCK", size)
        monkeypatch.setattr(delimited, "_BLOCK", size)
        assert values(path, "v") == column
        assert read_table(path, ["v"]).column("v").to_pylist() == column

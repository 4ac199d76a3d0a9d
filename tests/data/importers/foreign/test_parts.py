"""One table in several files: the same data as in one, or an error that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from mmsr.data import ImportSettings, Sources, prepare
from mmsr.data.importers.foreign.given import table_of
from mmsr.data.importers.readers.plain import common
from mmsr.errors import UserError

LARGE = pa.array([2**63], pa.uint64())
WriteTable = Callable[..., Path]


def rows_of(table: Any) -> list[dict[str, Any]]:
    wanted = ("user_id", "item_id", "timestamp")
    return [row for piece in table.pieces(wanted) for row in piece.select(wanted).to_pylist()]


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "jsonl", "parquet"])
@pytest.mark.parametrize("how", ["pattern", "folder"])
def test_several_files_are_one_table(
    ending: str,
    how: str,
    home: Path,
    tmp_path: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    expected = prepare("e", Sources(write_table("rows.csv", purchases))).dataset
    (tmp_path / "t").mkdir()
    for part, places in enumerate(np.array_split(np.arange(240), 3)):
        rows = {name: [values[i] for i in places] for name, values in purchases.items()}
        write_table(f"t/part-{part}.{ending}", rows)
    for name in ("_SUCCESS", ".part-0.crc"):
        (tmp_path / "t" / name).write_text("")
    table = table_of(str(tmp_path / "t" / ("part-*" if how == "pattern" else "")))
    prepared = prepare("d", Sources(table))
    assert prepared.dataset.content_hash == expected.content_hash
    label = "part-*" if how == "pattern" else "t"
    assert str(prepared.rows[0]) == f"{label}: 240 rows read = 240 kept"
    assert not prepare("d", Sources(table)).fresh
    write_table(f"t/part-1.{ending}", {**rows, "item_id": rows["item_id"][::-1]})
    with pytest.raises(UserError, match=r"made differently \(interactions\)"):
        prepare("d", Sources(table))


def test_folders_of_hive_are_columns(tmp_path: Path, purchases: dict[str, list[Any]]) -> None:
    frame = pd.DataFrame(purchases)
    frame["user_id"] = frame["user_id"].replace({"u3": "a/b c=d", "u4": "7"})
    pa.dataset.write_dataset(
        pa.Table.from_pandas(frame),
        tmp_path / "t",
        format="parquet",
        partitioning=["user_id"],
        partitioning_flavor="hive",
    )
    table = table_of(str(tmp_path / "t"))
    assert set(table.column_names()) == set(purchases)
    key = ["user_id", "timestamp"]
    found = pd.DataFrame(rows_of(table)).sort_values(key, kind="stable")
    expected = frame.sort_values(key, kind="stable")
    assert found[list(purchases)].values.tolist() == expected.values.tolist()


def test_the_same_files_in_other_folders_of_hive_are_another_table(tmp_path: Path) -> None:
    prints = []
    for value in "ab":
        folder = tmp_path / value / f"user_id={value}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"item_id": ["x"], "timestamp": [1]}), folder / "f.parquet")
        prints.append(table_of(str(folder.parent)).fingerprint(lambda amount: None))
    assert prints[0] != prints[1]


def test_rows_are_named_by_their_file(home: Path, tmp_path: Path) -> None:
    head = "user_id,item_id,timestamp\n"
    (tmp_path / "p1.csv").write_text(f"{head}a,x,1\na,y,2\n")
    (tmp_path / "p2.csv").write_text(f"{head}b,x,1\n\nb,,2\n")
    with pytest.raises(UserError, match=r"p2\.csv: line 4 has no item_id: every row needs one$"):
        prepare("d", Sources(table_of(f"{tmp_path}/p*.csv")), ImportSettings(core=1))
    for number in (1, 2):
        frame = pd.read_csv(tmp_path / f"p{number}.csv")
        frame.to_parquet(tmp_path / f"q{number}.parquet")
    with pytest.raises(UserError, match=r"q2\.parquet: row 2 has no item_id: .* from 1\)$"):
        prepare("d", Sources(table_of(f"{tmp_path}/q*.parquet")), ImportSettings(core=1))
    assert not (home / "imports").exists()


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"user_id": ["a"], "item_id": ["x"]}, "b.parquet has no column timestamp, but .*a.parq"),
        (
            {"user_id": ["a"], "item_id": ["x"], "timestamp": [1], "more": [1]},
            "a.parquet has no column more, but .*b.parq",
        ),
        (
            {"user_id": [7], "item_id": ["x"], "timestamp": [1]},
            "b.parquet: user_id is int64, but in .*a.parquet it is large_string: write it in one",
        ),
        (
            {"user_id": ["a"], "item_id": ["x"], "timestamp": LARGE},
            "b.parquet: timestamp has numbers that int64 cannot hold",
        ),
        (None, "b.parquet is not readable as parquet|b.parquet is empty"),
    ],
)
def test_files_that_do_not_fit_are_named(
    second: dict[str, Any] | None, said: str, home: Path, tmp_path: Path
) -> None:
    first = {"user_id": ["a"], "item_id": ["x"], "timestamp": [1]}
    pq.write_table(pa.table(first), tmp_path / "a.parquet")
    if second is None:
        (tmp_path / "b.parquet").write_bytes(b"PAR1")
    else:
        pq.write_table(pa.table(second), tmp_path / "b.parquet")
    with pytest.raises(UserError, match=said):
        prepare("d", Sources(table_of(f"{tmp_path}/?.parquet")), ImportSettings(core=1))
    assert not (home / "datasets" / "d").exists()


def test_columns_that_nobody_reads_may_differ(
    home: Path, tmp_path: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    for part, price in enumerate(([1] * 120, ["dear"] * 120)):
        rows = {name: values[part * 120 :][:120] for name, values in purchases.items()}
        write_table(f"p{part}.parquet", {**rows, "price": price})
    assert prepare("d", Sources(table_of(f"{tmp_path}/p*"))).fresh


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file matches '.*/\*\.csv': correct it"):
        table_of(f"{tmp_path}/*.csv")
    with pytest.raises(UserError, match="has no files of a table"):
        table_of(str(tmp_path))
    (tmp_path / "a.csv").write_text("x\n")
    assert table_of(str(tmp_path)) == tmp_path / "a.csv"
    (tmp_path / "b.tsv").write_text("x\n")
    with pytest.raises(UserError, match=r"several formats, a\.csv and b\.tsv: give a pattern"):
        table_of(str(tmp_path))
    (tmp_path / "c.txt").write_text("x\n")
    with pytest.raises(UserError, match=r"unknown format of .*c\.txt"):
        table_of(str(tmp_path))
    odd = tmp_path / "a[1].csv"
    odd.write_text("x\n")
    assert table_of(str(odd)) == odd, "a file of that name is no pattern"


def test_lists_of_vectors_may_differ_in_type(tmp_path: Path) -> None:
    for part, vectors in enumerate(([[1, 2]], [None], [[0.5, 1.5]])):
        lines = [json.dumps({"item_id": "a", "vector": vector}) for vector in vectors]
        (tmp_path / f"{part}.jsonl").write_text("\n".join(lines))
    table = table_of(f"{tmp_path}/*.jsonl")
    found = [row["vector"] for piece in table.pieces(["vector"]) for row in piece.to_pylist()]
    assert found == [[1, 2], None, [0.5, 1.5]]


def test_no_type_holds_texts_and_numbers() -> None:
    texts, numbers = pa.large_string(), pa.int64()
    for pair in ((texts, numbers), (numbers, texts), (pa.float32(), pa.float64())):
        with pytest.raises(TypeError):
            common(*pair, mixed=False)
        with pytest.raises(TypeError):
            common(*(pa.large_list(kind) if kind == texts else kind for kind in pair), mixed=False)
    assert common(pa.null(), texts, mixed=False) == common(texts, pa.null(), mixed=True) == texts
    assert common(pa.int8(), pa.uint32(), mixed=False) == numbers


@pytest.mark.parametrize("mixed", [False, True])
def test_whole_numbers_become_fractions_in_lists_and_where_they_may(mixed: bool) -> None:
    pair = pa.int64(), pa.float64()
    assert common(*map(pa.large_list, pair), mixed=mixed) == pa.large_list(pa.float64())
    if mixed:
        assert common(*pair, mixed=True) == pa.float64()
    else:
        with pytest.raises(TypeError, match="int64 and double"):
            common(*pair, mixed=False)

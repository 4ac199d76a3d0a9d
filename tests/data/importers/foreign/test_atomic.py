"""Atomic files of RecBole and MMRec: the same data as neutral tables, or an error with the line."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsr.data import Dataset, ImportSettings, Sources, prepare
from mmsr.data.importers.foreign.detect import bring
from mmsr.errors import UserError

WriteTable = Callable[..., Path]
VECTORS = np.random.default_rng(1).normal(size=(12, 3)).round(3)
TITLES = [f"{'red' if item % 2 else 'blue'} bear {item}" for item in range(12)]
INTER = {"user_id": "user_id:token", "item_id": "item_id:token", "timestamp": "timestamp:float"}


def write_tsv(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    rows = zip(*columns.values(), strict=True)
    lines = ["\t".join(columns), *("\t".join(map(str, row)) for row in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_recbole(folder: Path, purchases: dict[str, list[Any]]) -> None:
    typed = {INTER[name]: values for name, values in purchases.items()}
    write_tsv(folder / "ml.inter", {**typed, "rating:float": ["5"] * 240})
    items = {
        "item_id:token": [f"i{item}" for item in range(12)],
        "movie_title:token_seq": [f'"a ""{title}"""' for title in TITLES],
        "image_emb:float_seq": [" ".join(map(str, vector)) for vector in VECTORS],
    }
    write_tsv(folder / "ml.item", items)
    write_tsv(folder / "ml.user", {"user_id:token": ["u1"], "age:token": ["30"]})
    embedded = {"iid_s:token": items["item_id:token"], "vec_sound:float_seq": ["1 2", "2 1"] * 6}
    write_tsv(folder / "ml.itememb", embedded)
    write_tsv(folder / "ml.train.inter", {"user_id:token": ["u1"], "item_id:token": ["i1"]})
    (folder / "ml.zip").write_bytes(b"PK\x03\x04")


def load(name: str, text: Path, layout: str | None = None, **settings: Any) -> Dataset:
    found = bring(str(text), layout)
    sources = Sources(found.interactions, found.items, found.features)
    return prepare(name, sources, ImportSettings(columns=found.columns, **settings)).dataset


@pytest.mark.parametrize("named", ["", "ml.inter"])
def test_recbole_is_the_same_as_neutral_tables(
    named: str,
    home: Path,
    tmp_path: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    write_recbole(tmp_path / "ml", purchases)
    ids = [f"i{item}" for item in range(12)]
    neutral = Sources(
        write_table("rows.csv", purchases),
        write_table("items.csv", {"item_id": ids, "title": [f'a "{title}"' for title in TITLES]}),
        {
            "image": write_table("i.parquet", {"item_id": ids, "vector": list(VECTORS)}),
            "sound": write_table("s.parquet", {"item_id": ids, "vector": [[1, 2], [2, 1]] * 6}),
        },
    )
    expected = prepare("neutral", neutral).dataset
    found = load("ml", tmp_path / "ml" / named)
    assert found.modalities == ("image", "sound", "text")
    assert found.content_hash == expected.content_hash


def test_a_table_of_ids_and_vectors_alone_says_nothing_about_items(
    home: Path, tmp_path: Path, purchases: dict[str, list[Any]]
) -> None:
    write_recbole(tmp_path / "ml", purchases)
    items = {"item_id:token": [f"i{item}" for item in range(12)], "x_emb:float_seq": ["1", "2"] * 6}
    write_tsv(tmp_path / "ml" / "ml.item", items)
    assert load("d", tmp_path / "ml").modalities == ("sound", "x")


def test_mmrec_is_the_same_as_neutral_tables(
    home: Path, tmp_path: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    rows = {name: [str(v).lstrip("ui") for v in values] for name, values in purchases.items()}
    folder = tmp_path / "baby"
    columns = {"userID": rows["user_id"], "itemID": rows["item_id"], "rating": ["1"] * 240}
    times = {"timestamp": rows["timestamp"], "x_label": ["0"] * 240}
    write_tsv(folder / "baby.inter", columns | times)
    more = np.concatenate([VECTORS, VECTORS[:1]])  # an item without interactions
    np.save(folder / "image_feat.npy", more)
    np.save(folder / "text_feat.npy", more.astype(np.float16))
    np.save(folder / "user_graph_dict.npy", np.array({"a": 1}, dtype=object))
    ids = [str(item) for item in range(12)]
    neutral = Sources(
        write_table("rows.csv", rows),
        features={
            "image": write_table("i.parquet", {"item_id": ids, "vector": list(VECTORS)}),
            "text": write_table(
                "t.parquet", {"item_id": ids, "vector": list(VECTORS.astype(np.float16))}
            ),
        },
    )
    found = bring(str(folder), None)
    prepared = prepare("baby", Sources(found.interactions, None, found.features))
    assert prepared.dataset.content_hash == prepare("neutral", neutral).dataset.content_hash
    assert [str(count) for count in prepared.rows] == [
        "baby.inter: 240 rows read = 240 kept",
        "image_feat.npy: 13 rows read = 1 of items without interactions + 12 kept",
        "text_feat.npy: 13 rows read = 1 of items without interactions + 12 kept",
    ]


def test_a_name_of_a_column_may_still_be_chosen(
    home: Path, tmp_path: Path, purchases: dict[str, list[Any]]
) -> None:
    write_recbole(tmp_path / "ml", purchases)
    found = bring(str(tmp_path / "ml"), "recbole")
    for number, columns in enumerate(({"title": "movie_title"}, {"brand": "movie_title"})):
        settings = ImportSettings(columns=columns, text=False)
        sources = Sources(found.interactions, found.items)
        table = prepare(f"d{number}", sources, settings).dataset.item_table
        assert table.column(*columns).to_pylist()[0] == f'a "{TITLES[0]}"'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"user_id:token\titem_id:token\ttimestamp:float\n", "is empty"),
        (b"user_id:token\titem_id:token\n1\t2\n", "no column 'timestamp'"),
        (b"user_id:token\titem_id:string\n1\t2\n", "'?item_id:string'? is not NAME:TYPE"),
        (b"user_id:token\titem_id\n1\t2\n", "header item_id is not NAME:TYPE"),
        (b"user_id:token\tuser_id:float\n1\t2\n", "two columns named 'user_id'"),
        (b"user_id:token\titem_id:token\ttimestamp:float\na\tb\t3\na\tb\n", "line 3"),
        (b"user_id:token\titem_id:token\ttimestamp:float\na\tb\t3\na\t\t4\n", "line 3 has no item"),
        (b"user_id:token\titem_id:token\ttimestamp:float\n\na\tb\tx\n", "line 3 has timestamp 'x'"),
        (b"user_id:token\titem_id:token\ttimestamp:float\na\t\xff\t3\n", "is not UTF-8 text"),
        (gzip.compress(b"user_id:token", mtime=0), "is a gzip file"),
        (b"PK\x03\x04", "is a zip archive"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(
    content: bytes, said: str, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.inter"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        load("d", path, core=1)
    assert "parquet" not in str(caught.value)
    assert "m.inter" in str(caught.value)
    assert not (home / "imports").exists()
    assert not (home / "datasets" / "d").exists()


def test_one_folder_has_one_table_of_interactions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.inter file, as folders of RecBole and MMRec"):
        bring(str(tmp_path), None)
    for name in ("a.inter", "b.inter"):
        write_tsv(tmp_path / name, {"userID": [1], "itemID": [2], "timestamp": [3]})
    with pytest.raises(UserError, match=r"several tables .*: give one of a\.inter, b\.inter"):
        bring(str(tmp_path), None)
    with pytest.raises(UserError, match=r"names no types: give --format mmrec"):
        bring(str(tmp_path / "a.inter"), "recbole")
    with pytest.raises(UserError, match=r"unknown format 'recbol': did you mean 'recbole'"):
        bring(str(tmp_path / "a.inter"), "recbol")
    with pytest.raises(UserError, match=r"--format sequences is for a file"):
        bring(str(tmp_path), "sequences")

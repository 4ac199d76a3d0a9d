"""What Polars, DuckDB and others write is read like any other Parquet file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest

from mmsr.data.importers.features import read_features
from mmsr.data.importers.items import read_metadata
from mmsr.data.importers.readers.plain import plain
from mmsr.data.importers.readers.tables import read_table
from mmsr.data.manifest import ImportSettings
from mmsr.errors import UserError

IDS = ["a", "b", "b", "c"]
LISTS = [[1.0, 2.0], [3.0, 4.0], None, [5.0, 6.0]]
VIEWS = pa.array(IDS, pa.string_view())
PACKED = pa.array(IDS).dictionary_encode()


@pytest.mark.parametrize(
    "array",
    [
        VIEWS,
        pa.array(IDS, pa.large_string()),
        PACKED,
        pa.DictionaryArray.from_arrays(PACKED.indices, PACKED.dictionary.cast(pa.string_view())),
        pa.array(IDS).cast(pa.binary()),
        pa.array(IDS).cast(pa.binary_view()),
        pc.run_end_encode(pa.array(IDS)),
    ],
    ids=lambda array: str(array.type),
)
def test_texts_of_any_layout(array: pa.Array) -> None:
    found = plain(pa.chunked_array([array.slice(1), array]), "item_id", "f")
    assert found.type == pa.large_string()
    assert found.to_pylist() == [*IDS[1:], *IDS]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float64(), 2),
        pa.list_view(pa.float64()),
        pa.large_list_view(pa.float16()),
    ],
    ids=str,
)
def test_lists_of_any_layout(kind: pa.DataType) -> None:
    array = pa.array(LISTS).cast(pa.list_(kind.value_type))
    array = pa.array(array.to_pylist(), kind)
    found = plain(pa.chunked_array([array.slice(1), array]), "vector", "f")
    found.validate(full=True)
    assert found.type == pa.large_list(kind.value_type)
    assert found.to_pylist() == [*LISTS[1:], *LISTS]


@pytest.mark.parametrize("outer", [pa.list_, pa.large_list, pa.list_view, pa.large_list_view])
def test_lists_of_lists_of_texts(outer) -> None:
    values = [[["a"], None, ["b", "c"]], None, []]
    array = pa.array(values, outer(pa.list_view(pa.string_view())))
    found = plain(pa.chunked_array([array]), "categories", "f")
    found.validate(full=True)
    assert found.to_pylist() == values
    assert found.type == pa.large_list(pa.large_list(pa.large_string()))


def test_tables_of_new_types_are_read(tmp_path: Path) -> None:
    ids = pa.array(["a", "b", "c", "d"], pa.string_view())
    vectors = pa.array(LISTS, pa.list_view(pa.float64()))
    texts = pa.array([["x", "y"], None, ["z"], []], pa.list_view(pa.string_view()))
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"item_id": ids, "vector": vectors, "categories": texts}), path)
    known = pa.array(["a", "b", "c", "d"], pa.large_string())
    features, count = read_features(path, "image", known, {})
    assert features.vectors.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert str(count) == "t.parquet: 4 rows read = 1 without a vector + 3 kept"
    metadata = read_metadata(path, known, ImportSettings())
    assert metadata.table.column("categories").to_pylist() == ["x > y", None, "z", None]
    assert str(metadata.count) == "t.parquet: 4 rows read = 4 kept"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([b"\xff"]), "item_id is binary and not UTF-8 text"),
        (pa.array([b"0123456789abcdef"], pa.uuid()), None),
    ],
)
def test_bytes_that_are_no_text(array: pa.Array, message: str | None) -> None:
    column = pa.chunked_array([array])
    if message is None:
        assert plain(column, "item_id", "f").type == pa.binary(16)
        return
    with pytest.raises(UserError, match=message):
        plain(column, "item_id", "f")


def test_missing_lists_of_fixed_size_are_said(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"vector": pa.array(LISTS, pa.list_(pa.float32(), 2))}), path)
    with pytest.raises(UserError, match="parquet: write lists of fixed size, some of them missing"):
        read_table(path, ("vector",))


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "item_id=7"
    folder.mkdir()
    pa.parquet.write_table(pa.table({"item_id": ["a"], "title": ["t"]}), folder / "t.parquet")
    assert read_table(folder / "t.parquet", ("item_id",)).to_pydict() == {"item_id": ["a"]}

"""Feature tables, text vectors and metadata: rules on what is kept, and for which item."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mmsr.data import Dataset, FeatureTable, ImportSettings, Sources, prepare
from mmsr.data.encoders.base import EncoderOptions
from mmsr.data.encoders.run import encode_texts
from mmsr.data.encoders.text import TfIdf
from mmsr.data.progress import Silent
from mmsr.errors import UserError

WriteTable = Callable[..., Path]
WORDS = ("red", "blue", "bear", "drum", "kite", "train")


@pytest.mark.parametrize(
    "kind", ["list", "large_list", "fixed", "half", "double", "integers", "json", "spaces"]
)
def test_vectors_in_every_shape(
    kind: str,
    home: Path,
    tmp_path: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    items = ["i7", "unknown", "i2", "i10", "i2"]
    values = np.array([[1, 2], [9, 9], [3, 4], [5, 6], [3, 4]], dtype=np.float32)
    if kind in ("json", "spaces"):
        texts = [str(row.tolist()) if kind == "json" else f" {row[0]}  {row[1]}" for row in values]
        path = write_table("v.csv", {"item_id": items, "vector": texts})
    else:
        types = {
            "list": pa.list_(pa.float32()),
            "large_list": pa.large_list(pa.float32()),
            "fixed": pa.list_(pa.float32(), 2),
            "half": pa.list_(pa.float16(), 2),
            "double": pa.list_(pa.float64()),
            "integers": pa.list_(pa.int64()),
        }
        dtype = {"half": np.float16, "integers": np.int64}.get(kind, np.float64)
        vectors = pa.array([row.astype(dtype).tolist() for row in values]).cast(types[kind])
        path = tmp_path / "v.parquet"
        pa.parquet.write_table(pa.table({"item_id": items, "vector": vectors}), path)
    sources = Sources(write_table("r.csv", purchases), features={"image": path})
    dataset = prepare("d", sources).dataset
    table = dataset.features("image")
    found = {
        dataset.item_ids[i]: v.tolist() for i, v in zip(table.items, table.vectors, strict=True)
    }
    assert found == {"i7": [1, 2], "i2": [3, 4], "i10": [5, 6]}
    assert (np.diff(table.items) > 0).all()
    assert dataset.manifest.provenance.dropped.unused_vectors == {"image": 1}
    assert dataset.manifest.modalities["image"].items == 3
    assert dataset.manifest.modalities["image"].width == 2


def texts_by_item(dataset: Dataset) -> dict[str, np.ndarray]:
    table = dataset.features("text")
    return {dataset.item_ids[i]: v for i, v in zip(table.items, table.vectors, strict=True)}


def test_vectors_stay_with_their_items_where_some_have_no_text(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    words = [WORDS[i % 3] for i in range(12)]
    titles: list[str | None] = [f"{word} {word}er" for word in words]
    brands: list[str | None] = [f"of {word}" for word in words]
    for bare in (0, 1, 5, 11):
        titles[bare] = brands[bare] = None
    titles[2] = None
    items = {"item_id": [f"i{i}" for i in range(12)], "title": titles, "brand": brands}
    sources = Sources(write_table("r.csv", purchases), write_table("i.parquet", items))
    vectors = texts_by_item(prepare("d", sources).dataset)
    assert set(vectors) == {f"i{i}" for i in range(12)} - {"i0", "i1", "i5", "i11"}
    for one, vector in vectors.items():
        for other, another in vectors.items():
            alike = words[int(one[1:])] == words[int(other[1:])]
            assert (vector @ another > 0.5) == alike


def test_text_columns_are_chosen(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    items = {
        "item_id": [f"i{i}" for i in range(12)],
        "title": [WORDS[i % 2] for i in range(12)],
        "colour": [WORDS[i % 3] for i in range(12)],
    }
    sources = Sources(write_table("r.csv", purchases), write_table("i.csv", items))
    by_title = texts_by_item(prepare("a", sources).dataset)
    by_colour = texts_by_item(prepare("b", sources, ImportSettings(text_from=("colour",))).dataset)
    assert by_title["i0"] @ by_title["i2"] == pytest.approx(1)
    assert by_title["i0"] @ by_title["i3"] == pytest.approx(0, abs=1e-6)
    assert by_colour["i0"] @ by_colour["i2"] == pytest.approx(0, abs=1e-6)
    assert by_colour["i0"] @ by_colour["i3"] == pytest.approx(1)
    assert prepare("c", sources, ImportSettings(text=False)).dataset.modalities == ()
    with pytest.raises(
        UserError, match=r"no column 'color': did you mean 'colour'\? known: [^;]*$"
    ):
        prepare("e", sources, ImportSettings(text_from=("color",)))


def test_given_text_vectors_are_used_as_they_are(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    items = {"item_id": ["i0", "i1"], "title": ["red bear", "blue drum"]}
    vectors = {"item_id": ["i0", "i4"], "vector": [[7.0, 1.0], [3.0, 2.0]]}
    sources = Sources(
        write_table("r.csv", purchases),
        write_table("i.csv", items),
        {"text": write_table("v.parquet", vectors)},
    )
    found = texts_by_item(prepare("d", sources).dataset)
    assert {item: vector.tolist() for item, vector in found.items()} == {
        "i0": [7.0, 1.0],
        "i4": [3.0, 2.0],
    }
    with pytest.raises(UserError, match="text features are given"):
        prepare("e", sources, ImportSettings(text_from=("title",)))


def test_metadata_of_known_items_is_kept(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    items = {
        "item_id": ["i3", "nobody", "i1", "i3"],
        "title": [" a title ", "x", "", " a title "],
        "categories": [["toys", "cars"], ["x"], None, ["toys", "cars"]],
        "image": ["http://x/3.jpg", None, "http://x/1.jpg", "http://x/3.jpg"],
        "price": [1.0, 2.0, 3.0, 4.0],
    }
    sources = Sources(write_table("r.csv", purchases), write_table("i.parquet", items))
    dataset = prepare("d", sources, ImportSettings(text=False)).dataset
    rows = {row["item_id"]: row for row in dataset.item_table.to_pylist()}
    assert set(rows) == {f"i{i}" for i in range(12)}
    assert rows["i3"] == {
        "item_id": "i3",
        "title": "a title",
        "categories": "toys > cars",
        "image": "http://x/3.jpg",
    }
    assert rows["i1"]["title"] is None
    assert rows["i1"]["categories"] is None
    dropped = dataset.manifest.provenance.dropped
    assert dropped.items_without_metadata == 10
    assert dropped.unused_metadata_rows == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [([["a", "b"], ["c"]], "a > b > c"), ([["a", None], None, []], "a"), ([], None), (None, None)],
)
def test_nested_categories_are_written_out(
    value: list[list[str] | None] | None,
    expected: str | None,
    home: Path,
    tmp_path: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    nested = pa.array([value, [["other"]]], pa.list_(pa.list_(pa.string())))
    path = tmp_path / "i.parquet"
    pa.parquet.write_table(pa.table({"item_id": ["i0", "i1"], "categories": nested}), path)
    sources = Sources(write_table("r.csv", purchases), path)
    dataset = prepare("d", sources, ImportSettings(text=False)).dataset
    assert dataset.item_table.column("categories").to_pylist()[0] == expected


@given(
    texts=st.lists(
        st.none() | st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join),
        min_size=2,
        max_size=40,
    ),
    width=st.integers(2, 8),
)
@settings(max_examples=40, deadline=None)
def test_text_vectors_are_finite_unit_and_repeatable(texts: list[str | None], width: int) -> None:
    def encoded() -> FeatureTable:
        encoder = TfIdf(EncoderOptions(width=width, seed=1))
        return encode_texts(texts, "tfidf", encoder, Silent()).table

    try:
        table = encoded()
    except UserError:
        reject()
    assert all(texts[item] for item in table.items)
    assert (np.diff(table.items) > 0).all()
    assert table.vectors.shape[1] <= width
    np.testing.assert_allclose(np.linalg.norm(table.vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(encoded().vectors, table.vectors)
    # The same words give the same vector, whatever lies between the items.
    first: dict[str, np.ndarray] = {}
    for item, vector in zip(table.items, table.vectors, strict=True):
        words = " ".join(sorted(texts[item].split()))
        np.testing.assert_allclose(vector, first.setdefault(words, vector), atol=1e-4)

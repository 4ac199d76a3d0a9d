"""A table that contributes little or nothing is noted, one that contributes nothing is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsr.data import ImportSettings, Sources, catalog, prepare
from mmsr.data.progress import Silent
from mmsr.errors import UserError

WriteTable = Callable[..., Path]
ITEMS = [f"i{i}" for i in range(12)]
TITLES = [f"red x{i % 3}y" for i in range(12)]


class Notes(Silent):
    """A reporter that keeps what is noted."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def notes_of(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> Callable[..., list[str]]:
    """Imports purchases with an items table or vectors; what is noted."""
    rows = write_table("rows.csv", purchases)

    def run(
        items: dict[str, list[Any]] | None = None,
        vectors: dict[str, list[Any]] | None = None,
        **settings: Any,
    ) -> list[str]:
        features = {"image": write_table("v.parquet", vectors)} if vectors else {}
        table = write_table("articles.csv", items) if items else None
        notes = Notes()
        sources = Sources(rows, table, features)
        prepare("d", sources, ImportSettings(**settings), overwrite=True, reporter=notes)
        return notes.said

    return run


def test_unused_columns_are_named(notes_of, tmp_path):
    items = {"sku": ITEMS, "title": TITLES, "text": TITLES, "price": [1] * 12}
    assert notes_of(items, columns={"item_id": "sku"}) == [
        f"note: {tmp_path}/articles.csv: columns not used: price, text; known: title, description, "
        "brand, categories, image; --columns maps them"
    ]
    assert notes_of({"item_id": ITEMS, "title": TITLES}) == []
    assert notes_of({"item_id": ITEMS, "tint": TITLES}, text_from=("tint",)) == []


@pytest.mark.parametrize(
    ("items", "other"),
    [
        ({"sku": ITEMS, "name": TITLES, "text": TITLES, "price": [1] * 12}, "name, price, text"),
        ({"sku": ITEMS}, "none"),
    ],
)
def test_a_table_that_says_nothing_is_refused(notes_of, items, other):
    needs = "one or more of title, description, brand, categories, image"
    message = f"articles.csv says nothing .* {needs}; other columns: {other}; --columns maps them"
    with pytest.raises(UserError, match=message):
        notes_of(items, columns={"item_id": "sku"})
    assert catalog.names() == []


@pytest.mark.parametrize("what", ["items", "vectors"])
def test_ids_that_match_nothing_are_refused(notes_of, what):
    ids = [f"0{item}" for item in ITEMS]
    vectors = [[float(i), 1.0] for i in range(12)]
    table = {"item_id": ids, **({"title": TITLES} if what == "items" else {"vector": vectors})}
    message = (
        "none of its 12 items occurs .* it has '0i0', '0i1', '0i10', …, they have 'i0', 'i1', "
        "'i10', …: the ids differ in leading zeros: write them alike"
    )
    with pytest.raises(UserError, match=message):
        notes_of(**{what: table})
    assert catalog.names() == []


@pytest.mark.parametrize("what", ["items", "vectors"])
@pytest.mark.parametrize("matching", [5, 6])
def test_a_match_of_less_than_half_is_noted(notes_of, what, matching, tmp_path):
    kept = sorted(ITEMS)
    ids = [*kept[:matching], *(f"0{item}" for item in kept[matching:])]
    vectors = [[float(i), 1.0] for i in range(12)]
    table = {"item_id": ids, **({"title": TITLES} if what == "items" else {"vector": vectors})}
    file = tmp_path / ("articles.csv" if what == "items" else "v.parquet")
    expected = (
        f"warning: {file} lists only 5 of the 12 items that are kept; not listed: 'i3', 'i4', "
        "'i5', …; listed, but not among those: '0i3', '0i4', '0i5', …; the ids differ in leading "
        "zeros: write them alike"
    )
    assert notes_of(**{what: table}) == ([expected] if matching == 5 else [])


def test_a_short_table_shows_what_it_lacks_alone(notes_of):
    (note,) = notes_of({"item_id": ["i0", "i1"], "title": ["red", "blue"]})
    assert "not listed: 'i10', 'i11', 'i2', …; check" in note


def test_columns_without_text_are_noted_and_refused_where_chosen(notes_of, tmp_path):
    bare = {"item_id": ITEMS, "title": [None] * 12, "image": ["x"] * 12}
    message = f"{tmp_path}/articles.csv: no item that is kept has a text in title"
    assert notes_of(bare) == [
        f"note: {message}, description, brand, categories: there is no modality text"
    ]
    assert notes_of(bare, text=False) == []
    with pytest.raises(UserError, match=f"{message}: give --text-from other columns, or leave it"):
        notes_of(bare, text_from=("title",))


def test_every_row_is_counted(home, purchases, write_table):
    rows = {name: [*values, *values[:3], "x9"] for name, values in purchases.items()}
    rows["timestamp"][-1] = 7
    items = {"item_id": [*ITEMS, "i1", "other"], "title": [*TITLES, TITLES[1], ""]}
    vectors = {
        "item_id": ["i1", "i1", "i2", "i3", "other"],
        "vector": [[1.0, 2.0], [1.0, 2.0], [3.0, 4.0], None, [5.0, 6.0]],
    }
    sources = Sources(
        write_table("rows.tsv", rows),
        write_table("articles.csv", items),
        {"image": write_table("v.parquet", vectors)},
    )
    assert list(map(str, prepare("d", sources).rows)) == [
        "rows.tsv: 244 rows read = 3 repeated + 1 outside the 5-core + 240 kept",
        "articles.csv: 14 rows read = 1 repeated + 1 of items without interactions + 12 kept",
        "v.parquet: 5 rows read = 1 without a vector + 1 repeated + 1 of items without "
        "interactions + 2 kept",
    ]
    assert prepare("d", sources).rows == ()

"""Beauty of 2014, written back in the release's formats, is what its neutral tables are."""

from __future__ import annotations

import gzip
import html
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from mmsr.data import Dataset, ImportSettings, Sources
from mmsr.data import prepare as import_tables
from mmsr.data.catalogue.prepare import prepare
from mmsr.data.catalogue.published import compared

from .formats.raw import record

BEAUTY = Path(__file__).resolve().parents[4] / "shared" / "data" / "beauty"


def written_back(folder: Path) -> list[str]:
    """Write reviews, metadata and two image records; ids of the items."""
    folder.mkdir()
    interactions = pyarrow.parquet.read_table(BEAUTY / "interactions.parquet")
    items = pyarrow.parquet.read_table(BEAUTY / "items.parquet").to_pylist()
    columns = (interactions[name].to_pylist() for name in ("user_id", "item_id", "timestamp"))
    with gzip.open(folder / "reviews_Beauty_5.json.gz", "wt", compresslevel=1) as file:
        for user, item, time in zip(*columns, strict=True):
            review = {"reviewerID": user, "asin": item, "helpful": [0, 0], "unixReviewTime": time}
            file.write(json.dumps(review) + "\n")
    with gzip.open(folder / "meta_Beauty.json.gz", "wt", compresslevel=1) as file:
        for row in items:
            path = (row["categories"] or "").split(" > ")
            known = {"title": row["title"], "brand": row["brand"], "categories": [path]}
            given = {name: value for name, value in known.items() if value is not None}
            file.write(repr({"asin": row["item_id"], **given}) + "\n")
    ids = [row["item_id"] for row in items]
    images = [record(item.encode(), number) for number, item in enumerate(ids[:2])]
    (folder / "image_features_Beauty.b").write_bytes(b"".join(images))
    return ids


@pytest.mark.skipif(
    not BEAUTY.is_dir(), reason="the shared data sets are not beside the repository"
)
def test_beauty_has_the_published_counts_and_the_same_histories(home: Path, tmp_path: Path) -> None:
    ids = written_back(tmp_path / "files")
    settings = ImportSettings(text=False)
    public = prepare("beauty", settings=settings, source=tmp_path / "files").dataset
    assert compared(public.manifest) == (
        "the counts are those of the paper's table 1: 22,363 users, 12,101 items, "
        "198,502 interactions"
    )
    tables = Sources(BEAUTY / "interactions.parquet", BEAUTY / "items.parquet")
    own = import_tables("own", tables, settings).dataset
    for file in ("development.arrow", "users.arrow"):
        assert (public.path / file).read_bytes() == (own.path / file).read_bytes()
    test = (home / "held-out" / name / "test.arrow" for name in ("beauty", "own"))
    assert len({file.read_bytes() for file in test}) == 1
    assert texts_of(public) == texts_of(own)
    assert [public.item_ids[int(item)] for item in public.features("image").items] == sorted(
        ids[:2]
    )


def texts_of(dataset: Dataset) -> list[tuple[str | None, ...]]:
    """Metadata without entities and double blanks, which the neutral tables still have."""
    table = dataset.item_table
    names = ("item_id", "title", "brand", "categories")
    rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    return [
        tuple(text and " ".join(html.unescape(html.unescape(text)).split()) for text in row)
        for row in rows
    ]

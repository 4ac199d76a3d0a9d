"""Helpers of the export tests: a shop with texts and vectors, imported in several ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmsr.data import Dataset, ImportSettings, Sources, prepare

ITEMS = 12
DAY = 86_400


@pytest.fixture
def rows() -> pd.DataFrame:
    """30 users with 8 interactions each; some share a moment, and none has mere positions."""
    pairs = [(user, step) for user in range(30) for step in range(8)]
    return pd.DataFrame(
        {
            "user_id": [f"u{user}" for user, _ in pairs],
            "item_id": [f"i{(user * 5 + step * step) % ITEMS}" for user, step in pairs],
            "timestamp": [1_400_000_000 + user * 7_000 + step // 2 * DAY for user, step in pairs],
        }
    )


@pytest.fixture
def imported(home: Path, tmp_path: Path, rows: pd.DataFrame) -> Callable[..., Dataset]:
    """Imports the shop under a name: with texts, with vectors of some modalities, with settings.

    With the protocol cold-items, two more items appear late.
    """

    def make(
        name: str = "shop",
        *,
        texts: bool = False,
        vectors: tuple[str, ...] = (),
        times: Callable[[pd.Series], Any] = lambda column: column,
        **settings: object,
    ) -> Dataset:
        rng = np.random.default_rng(5)
        table = rows.copy()
        if settings.get("protocol") == "cold-items":
            order = table["timestamp"].rank(pct=True)
            for first, item in ((0.7, "late"), (0.9, "later")):
                table.loc[(order > first) & (table.index % 3 == 0), "item_id"] = item
        folder = tmp_path / "tables"
        (folder / "features").mkdir(parents=True, exist_ok=True)
        table.assign(timestamp=times(table["timestamp"])).to_parquet(folder / "rows.parquet")
        if texts:
            words = ["red", "tall", "quick", "old"]
            titles = [f'{words[i % 4]} {words[i % 3]}\tthing "{i}"' for i in range(ITEMS - 1)]
            items = pd.DataFrame({"item_id": [f"i{i}" for i in range(ITEMS - 1)], "title": titles})
            items["colour"] = [None if i % 5 == 0 else f"{words[i % 4]}" for i in range(ITEMS - 1)]
            items.to_parquet(folder / "items.parquet")
        features = {}
        for modality in vectors:
            features[modality] = folder / "features" / f"{modality}.parquet"
            ids = [f"i{i}" for i in range(1, ITEMS)]
            lists = {"item_id": ids, "vector": list(rng.normal(size=(len(ids), 3)))}
            pd.DataFrame(lists).to_parquet(features[modality])
        sources = Sources(
            folder / "rows.parquet", folder / "items.parquet" if texts else None, features
        )
        checked = ImportSettings.checked(**{"core": 2, **settings})
        return prepare(name, sources, checked, overwrite=True).dataset

    return make


@pytest.fixture
def as_of_before() -> Callable[[Dataset], Dataset]:
    """Takes the moments out of a data set, as earlier versions of mmsr left it."""

    def remove(dataset: Dataset) -> Dataset:
        import pyarrow as pa

        from mmsr.data.storage import write_arrow
        from mmsr.paths import held_out

        for path in (
            dataset.path / "development.arrow",
            held_out() / dataset.name / "test.arrow",
        ):
            with pa.OSFile(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
            write_arrow(path, table.drop_columns("moments"))
        return Dataset.open(dataset.name)

    return remove

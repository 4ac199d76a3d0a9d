"""Exports of data sets of every origin, made again when what they were made from is gone."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.data import Dataset, ImportSettings, Sources, import_tables, prepare
from mmsr.data.catalogue.prepare import prepare as prepare_public
from mmsr.data.exporters.export import export

from .reimport import again

IDS = [f"i{item}" for item in range(12)]
TITLES = [f"{'red' if item % 2 else 'blue'} bear {item}" for item in range(12)]


class Letters:
    """Vectors of texts: their length and how many of a letter they have."""

    modality, version, batch_size = "text", "1", 4

    def __init__(self, _: object) -> None: ...

    def encode(self, batch: Sequence[str]) -> np.ndarray:
        return np.array([[len(text), text.count("e"), 1.0] for text in batch], dtype=np.float32)


class Colours(Letters):
    """Vectors of images: their mean colour."""

    modality = "image"

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        means = [np.asarray(image, dtype=np.float64).mean(axis=(0, 1)) for image in batch]
        return np.array(means, dtype=np.float32) + 1


@pytest.fixture
def encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `shop_encoders` with the two encoders."""
    module = ModuleType("shop_encoders")
    vars(module).update(Letters=Letters, Colours=Colours)
    monkeypatch.setitem(sys.modules, "shop_encoders", module)


def from_recbole(given: Path, rows: pd.DataFrame) -> Dataset:
    types = {"user_id": "token", "item_id": "token", "timestamp": "float"}
    typed = rows.rename(columns=lambda name: f"{name}:{types[name]}")
    typed.to_csv(given / "ml.inter", sep="\t", index=False)
    items = {
        "item_id:token": IDS,
        "movie_title:token_seq": TITLES,
        "image_emb:float_seq": [f"{item}.5 1.5" for item in range(12)],
    }
    pd.DataFrame(items).to_csv(given / "ml.item", sep="\t", index=False)
    words = ["data", "import", "shop", "--from", str(given), "--core", "2"]
    done = CliRunner().invoke(app, [*words, "--protocol", "leave-one-out"])
    assert done.exit_code == 0, done.output or done.exception
    return Dataset.open("shop")


def from_python(given: Path, rows: pd.DataFrame) -> Dataset:
    items = pd.DataFrame({"item_id": IDS, "name": TITLES})
    vectors = (IDS, np.random.default_rng(2).normal(size=(12, 3)))
    columns = {"title": "name"}
    return import_tables("shop", rows, items, {"image": vectors}, core=2, columns=columns).dataset


def from_catalogue(given: Path, rows: pd.DataFrame) -> Dataset:
    asins = {item: f"B{number:09}" for number, item in enumerate(IDS)}
    reviews = [
        {"reviewerID": user, "asin": asins[item], "unixReviewTime": time, "overall": 5.0}
        for user, item, time in rows.itertuples(index=False)
    ]
    metadata = [
        {"asin": asin, "title": title} for asin, title in zip(asins.values(), TITLES, strict=True)
    ]
    for name, records in (("reviews_Beauty_5", reviews), ("meta_Beauty", metadata)):
        content = "".join(json.dumps(record) + "\n" for record in records)
        (given / f"{name}.json.gz").write_bytes(gzip.compress(content.encode()))
    vectors = np.random.default_rng(3).normal(size=(12, 4096)).astype("<f4")
    images = (
        asin.encode() + row.tobytes() for asin, row in zip(asins.values(), vectors, strict=True)
    )
    (given / "image_features_Beauty.b").write_bytes(b"".join(images))
    return prepare_public("beauty", "shop", source=given).dataset


def encoded(given: Path, rows: pd.DataFrame, **settings: Any) -> Dataset:
    rows.to_parquet(given / "rows.parquet")
    for place, item in enumerate(IDS):
        Image.new("RGB", (8, 8), (place * 20, 5, 90)).save(given / f"{item}.png")
    items = {"item_id": IDS, "title": TITLES, "image": [f"{item}.png" for item in IDS]}
    pd.DataFrame(items).to_parquet(given / "items.parquet")
    sources = Sources(given / "rows.parquet", given / "items.parquet")
    return prepare("shop", sources, ImportSettings(**settings)).dataset


def with_encoders(given: Path, rows: pd.DataFrame) -> Dataset:
    names = {"text": "shop_encoders:Letters", "image": "shop_encoders:Colours"}
    return encoded(given, rows, text_encoder=names["text"], image_encoder=names["image"])


def with_images_alone(given: Path, rows: pd.DataFrame) -> Dataset:
    return encoded(given, rows, text=False, image_encoder="shop_encoders:Colours")


def with_chosen_texts(given: Path, rows: pd.DataFrame) -> Dataset:
    chosen = {"text_from": ("title",), "text_encoder": "shop_encoders:Letters"}
    return encoded(given, rows, image_encoder="shop_encoders:Colours", **chosen)


@pytest.mark.parametrize(
    "made",
    [
        from_recbole,
        from_python,
        from_catalogue,
        with_encoders,
        with_images_alone,
        with_chosen_texts,
    ],
)
@pytest.mark.usefixtures("encoders", "home")
def test_the_export_alone_makes_the_data_set_again(
    made: Callable[[Path, pd.DataFrame], Dataset], rows: pd.DataFrame, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    dataset = made(given, rows)
    assert "image" in dataset.modalities
    export(dataset, "parquet", str(tmp_path / "out"), with_test=True)
    shutil.rmtree(given)
    found = again(tmp_path / "out", tmp_path / "other")
    assert found.content_hash == dataset.content_hash
    assert found.modalities == dataset.modalities

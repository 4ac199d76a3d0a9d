"""A manifest that was edited by hand is refused where it cannot be true."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsr.data import Dataset, Manifest, Sources, prepare
from mmsr.errors import UserError

WriteTable = Callable[..., Path]


@pytest.fixture
def dataset(home: Path, purchases: dict[str, list[Any]], write_table: WriteTable) -> Dataset:
    vectors = {"item_id": ["i0", "i1", "i2"], "vector": [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]}
    features = {"image": write_table("v.parquet", vectors)}
    return prepare("d", Sources(write_table("rows.csv", purchases), None, features)).dataset


def edit(folder: Path, *place: Any, value: Any) -> None:
    path = folder / "manifest.json"
    tree = json.loads(path.read_text())
    part = tree
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    path.write_text(json.dumps(tree))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("counts", "users"), 0, "counts.users: Input should be greater than or equal to 1"),
        (("counts", "users"), 29, "history_lengths has another number of users than counts"),
        (("counts", "interactions"), 9, "history_lengths has another number of interactions"),
        (("counts", "items"), 2, "modalities have more items than counts"),
        (("counts", "items"), 10**30, "counts.items: Input should be less than"),
        (("counts", "test_targets"), -1, "counts.test_targets: Input should be greater"),
        (("history_lengths",), {}, "history_lengths has another number of users"),
        (("history_lengths",), {"-8": 30}, "history_lengths.-8"),
        (("content_hash",), "../../x", "content_hash: String should match pattern"),
        (("development_file",), "../../x", "development_file: .* no plain file name"),
        (("development_file",), "/etc/passwd", "development_file: .* no plain file name"),
        (("modalities", "../image"), {"items": 1, "width": 2, "source": "file"}, "String should"),
        (("modalities", "image", "width"), 0, "modalities.image.width"),
        (("a\nkey",), 1, r"'a\\nkey': Extra inputs are not permitted"),
        (("provenance", "dropped", "core_users"), -3, "provenance.dropped.core_users"),
        (("provenance", "created_by"), "\ud800", "it has half a character"),
    ],
)
def test_what_cannot_be_true_is_refused(place, value, message, dataset):
    edit(dataset.path, *place, value=value)
    with pytest.raises(UserError, match=f"is damaged: .*{message}") as caught:
        Manifest.read(dataset.path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"schema_version": ' + "9" * 5000 + "}", "\ufeff{}", '"a"', "nul"]
)
def test_what_is_no_manifest_is_refused(text: str, dataset: Dataset) -> None:
    (dataset.path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="import 'd' again with --overwrite") as caught:
        Dataset.open("d")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("place", "value", "use", "file"),
    [
        (("counts", "items"), 13, lambda d: d.item_ids, "items.arrow"),
        (("modalities", "image", "width"), 3, lambda d: d.features("image"), "image.arrow"),
        (("modalities", "image", "items"), 2, lambda d: d.features("image"), "image.arrow"),
        (("development_file",), "items.arrow", lambda d: d.train(), "items.arrow"),
    ],
)
def test_files_that_are_not_as_stated_are_refused(place, value, use, file, dataset):
    edit(dataset.path, *place, value=value)
    with pytest.raises(UserError, match=f"{file} is not what the manifest states: import 'd' ag"):
        use(Dataset.open("d"))


def test_vectors_are_hashed_at_import_alone(
    shop_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifests of earlier versions lack the hash; then it is computed, and the same."""
    folder = tmp_path / "datasets" / "shop"
    shutil.copytree(shop_home / "datasets" / "shop", folder)
    monkeypatch.setenv("MMSR_HOME", str(tmp_path))
    new = Dataset.open("shop")
    tree = json.loads((folder / "manifest.json").read_text())
    for coverage in tree["modalities"].values():
        del coverage["features_hash"]
    (folder / "manifest.json").write_text(json.dumps(tree))
    old = Dataset.open("shop")
    hashes = [new.features_hash(modality) for modality in new.modalities]
    assert len(set(hashes)) == len(hashes)
    assert [old.features_hash(modality) for modality in old.modalities] == hashes
    monkeypatch.setattr("mmsr.data.dataset.features_hash", None)
    assert [new.features_hash(modality) for modality in new.modalities] == hashes

"""Modality codes: what they link, when they are computed, and what is refused."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from safetensors import SafetensorError

from mmsr import paths
from mmsr.config import GraphConfig
from mmsr.data import Dataset, FeatureTable
from mmsr.data.storage import features_hash
from mmsr.errors import UserError
from mmsr.graph import codes as codes_module
from mmsr.graph.checks import check_graph_config
from mmsr.graph.codes import ModalityCodes, compute_codes, modality_codes


def blobs() -> FeatureTable:
    """Three groups of items, far apart and of equal size; item 3 has no vector."""
    rng = np.random.default_rng(0)
    items = np.array([i for i in range(31) if i != 3])
    vectors = 0.01 * rng.normal(size=(30, 6)) + 10 * np.eye(6)[items % 3]
    return FeatureTable(items=items, vectors=vectors.astype(np.float32))


@pytest.mark.parametrize("clustering", ["kmeans", "gmm", "balanced"])
@pytest.mark.parametrize("reduction", ["pca", "autoencoder", "none"])
def test_groups_become_codes(clustering: str, reduction: str) -> None:
    config = GraphConfig(
        n_codes=3, links_per_item=2, clustering=clustering, reduction=reduction, reduced_width=4
    )
    codes = compute_codes(blobs(), 31, config, 3)
    assert codes.links.shape == (31, 2)
    assert codes.centres.shape == (3, 6 if reduction == "none" else 4)
    assert (codes.links[3] == -1).all()
    have = np.array([i for i in range(31) if i != 3])
    for group in range(3):
        assert len(set(codes.links[have[have % 3 == group], 0])) == 1
    assert len(set(codes.links[have, 0])) == 3
    assert (codes.links[have, 0] != codes.links[have, 1]).all()


def test_links_are_the_nearest_centres() -> None:
    table = FeatureTable(
        items=np.arange(50),
        vectors=np.random.default_rng(1).normal(size=(50, 5)).astype(np.float32),
    )
    config = GraphConfig(n_codes=7, links_per_item=3, reduction="none")
    codes = compute_codes(table, 50, config, 7)
    distances = np.linalg.norm(table.vectors[:, None] - codes.centres, axis=2)
    np.testing.assert_array_equal(codes.links, distances.argsort(axis=1)[:, :3])


def test_computed_once_and_again_when_anything_changes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = StubData()
    computed = []

    def counting(*arguments: object) -> codes_module.ModalityCodes:
        computed.append(arguments)
        return compute_codes(*arguments)

    monkeypatch.setattr(codes_module, "compute_codes", counting)
    config = GraphConfig(n_codes=3)
    first = modality_codes(dataset, config)["image"]
    again = modality_codes(dataset, config)["image"]
    assert len(computed) == 1
    np.testing.assert_array_equal(first.links, again.links)
    np.testing.assert_array_equal(first.centres, again.centres)
    for other in (
        GraphConfig(n_codes=4),
        GraphConfig(n_codes=3, links_per_item=2),
        GraphConfig(n_codes=3, clustering="gmm"),
        GraphConfig(n_codes=3, clustering="balanced"),
        GraphConfig(n_codes=3, clustering="residual", levels=1),
        GraphConfig(n_codes=3, clustering="residual", levels=2),
        GraphConfig(n_codes=3, reduction="autoencoder"),
        GraphConfig(n_codes=3, reduced_width=2),
        GraphConfig(n_codes=3, seed=1),
    ):
        before = len(computed)
        modality_codes(dataset, other)
        assert len(computed) == before + 1
    dataset.table.vectors[0, 0] += 1
    modality_codes(dataset, config)
    assert len(computed) == 11
    # What does not concern the codes asks for nothing new: all items occur in training.
    for same in ({"max_history": 7}, {"levels": 2}, {"fitted_on": "all"}):
        modality_codes(dataset, GraphConfig(n_codes=3, **same))
    assert len(computed) == 11
    dataset.in_training[7] = False
    modality_codes(dataset, GraphConfig(n_codes=3, fitted_on="all"))
    assert len(computed) == 11
    modality_codes(dataset, config)
    assert len(computed) == 12


@dataclass
class StubData:
    """As much of a data set as codes are made from."""

    name: str = "stub"
    modalities: tuple[str, ...] = ("image",)
    n_items: int = 31
    table: FeatureTable = field(default_factory=blobs)
    in_training: np.ndarray = field(default_factory=lambda: np.ones(31, dtype=bool))

    def features(self, modality: str) -> FeatureTable:
        return self.table

    def features_hash(self, modality: str) -> str:
        return features_hash(self.table.items, self.table.vectors)


def _ask_at_once(name: str, place: Path, asking: int, killed: bool) -> None:
    """Ask for codes of a data set while others do; every computation leaves a file in `place`.

    A computation waits until all have asked, so without a lock all would compute.
    """
    me = os.getpid()

    def compute(*arguments: object) -> ModalityCodes:
        first = not list(place.glob("*.computed"))
        (place / f"{uuid.uuid4().hex}.computed").touch()
        deadline = time.monotonic() + 60
        while len(list(place.glob("*.asks"))) < asking and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)  # for the last of them to find the cache empty
        if killed and first:
            os.kill(me, signal.SIGKILL)
        return compute_codes(*arguments)  # type: ignore[arg-type]

    dataset = Dataset.open(name)
    (place / f"{me}.asks").touch()
    with patch("mmsr.graph.codes.compute_codes", compute):
        codes = modality_codes(dataset, GraphConfig(n_codes=4, reduced_width=3))
    answer = b"".join(c.links.tobytes() + c.centres.tobytes() for c in codes.values())
    (place / f"{me}.answer").write_bytes(answer)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_many_processes_compute_codes_once(
    shop_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    (tmp_path / "datasets").symlink_to(shop_home / "datasets")
    monkeypatch.setenv("MMSR_HOME", str(tmp_path))
    place, asking = tmp_path / "place", 3
    place.mkdir()
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_ask_at_once, args=("shop", place, asking, killed))
        for _ in range(asking)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    died = [process.exitcode for process in processes if process.exitcode]
    assert died == ([-signal.SIGKILL] if killed else [])
    answers = {path.read_bytes() for path in place.glob("*.answer")}
    assert len(answers) == 1
    computed = len(list(place.glob("*.computed")))
    assert computed == len(Dataset.open("shop").modalities) + killed, "a killed one is replaced"
    assert not list(paths.codes_cache().glob("*.partial"))


def test_a_damaged_cache_file_is_computed_again(
    shop_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(shop_home / "datasets", tmp_path / "datasets")
    monkeypatch.setenv("MMSR_HOME", str(tmp_path))
    shop, config = Dataset.open("shop"), GraphConfig(n_codes=4)
    before = modality_codes(shop, config)
    for file in paths.codes_cache().glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-8])
    after = modality_codes(shop, config)
    for modality, codes in before.items():
        np.testing.assert_array_equal(codes.links, after[modality].links)
        np.testing.assert_array_equal(codes.centres, after[modality].centres)


def test_a_full_disk_is_a_clear_error(
    shop_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    shutil.copytree(shop_home / "datasets", tmp_path / "datasets")
    monkeypatch.setenv("MMSR_HOME", str(tmp_path))
    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(UserError, match=r"cannot use the cache folder .* No space left on device"):
        modality_codes(Dataset.open("shop"), GraphConfig(n_codes=4))


def test_what_the_data_cannot_fill_is_refused(shop: Dataset) -> None:
    with pytest.raises(UserError, match=r"n_codes=39 is more than the 38 items .* image"):
        check_graph_config(shop, GraphConfig(n_codes=39))
    with pytest.raises(UserError, match=r"unknown modality 'imge': did you mean 'image'"):
        check_graph_config(shop, GraphConfig(modalities=("imge",)))
    with pytest.raises(UserError, match=r"unknown modality in graph.n_codes 'sound'"):
        check_graph_config(shop, GraphConfig(n_codes={"image": 3, "text": 3, "sound": 3}))
    with pytest.raises(UserError, match=r"names \['image'\] but not 'text'"):
        check_graph_config(shop, GraphConfig(n_codes={"image": 3}))
    check_graph_config(shop, GraphConfig(n_codes={"image": 3}, modalities=("image",)))


def test_a_folder_that_cannot_be_written_is_a_clear_error(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("MMSR_HOME", str(tmp_path))
    with pytest.raises(UserError, match="cannot use the cache folder"):
        modality_codes(shop, GraphConfig(n_codes=3))

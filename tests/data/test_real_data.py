"""Toys and Beauty: the counts of their README, within the time allowed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mmsr.data import Dataset, ImportSettings, Sources, prepare
from mmsr.data.held_out import open_test
from mmsr.errors import UserError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
COUNTS = {
    "toys": (19_412, 11_924, 167_597, 119_424, 28_761),
    "beauty": (22_363, 12_101, 198_502, 142_197, 33_942),
}
"""Users, items, interactions; development and test targets by protocol `ratio`."""


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not beside the repository")
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_counts_of_the_readme(name: str, home: Path) -> None:
    features = {
        modality: path
        for modality in ("image", "text")
        if (path := DATA / name / f"{modality}_features.parquet").exists()
    }
    tables = Sources(DATA / name / "interactions.parquet", DATA / name / "items.parquet", features)
    began = time.perf_counter()
    dataset = prepare(name, tables).dataset
    assert time.perf_counter() - began < 30
    test = open_test(dataset, who="tests", why="their counts")
    counts = dataset.manifest.counts
    assert COUNTS[name] == (
        counts.users,
        counts.items,
        counts.interactions,
        len(dataset.development()),
        len(test),
    )
    assert counts.test_targets == len(test)
    assert counts.train_targets + counts.valid_targets == len(dataset.development())
    dropped = dataset.manifest.provenance.dropped
    assert (dropped.duplicate_interactions, dropped.core_interactions) == (0, 0)
    covered = {modality: cover.items for modality, cover in dataset.manifest.modalities.items()}
    assert (
        covered
        == {
            "toys": {"image": 11_907, "text": 11_924},
            "beauty": {"text": 12_101},
        }[name]
    )
    assert not prepare(name, tables).fresh
    assert Dataset.open(name).content_hash == dataset.content_hash


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not beside the repository")
def test_temporal_needs_moments(home: Path) -> None:
    """Beauty has days, many of them shared; Toys has positions."""
    settings = ImportSettings(protocol="temporal")
    counts = prepare("beauty", Sources(DATA / "beauty" / "interactions.parquet"), settings)
    assert counts.dataset.manifest.counts.test_targets > 0
    with pytest.raises(UserError, match=r"19,412 of 19,412 users have 0, 1, 2 and so on"):
        prepare("toys", Sources(DATA / "toys" / "interactions.parquet"), settings)

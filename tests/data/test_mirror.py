"""Data sets of a home in an object store: published once, fetched where they are missing."""

from __future__ import annotations

import os

import pytest

from mmsr import paths
from mmsr.data import Dataset, Sources, catalog, open_test, prepare
from mmsr.errors import UserError


@pytest.fixture
def machine(bucket, tmp_path, monkeypatch):
    """Turns this process into another machine of the same home."""

    def become(name):
        monkeypatch.setenv("MMSR_HOME", bucket)
        monkeypatch.setenv("MMSR_COPIES", str(tmp_path / name))

    return become


@pytest.fixture
def made(machine, shop_tables):
    """The shop, imported on a first machine."""
    interactions, features = shop_tables
    machine("laptop")
    return prepare("shop", Sources(interactions=interactions, features=features)).dataset


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_another_machine_has_the_same_but_the_test_part(made, machine):
    machine("node")
    assert catalog.names() == ["shop"]
    fetched = Dataset.open("shop")
    assert fetched.path.is_relative_to(paths.home())
    assert fetched.content_hash == made.content_hash
    assert files(made.path) - files(fetched.path) == {"test.arrow"}
    for name in files(fetched.path):
        assert (fetched.path / name).read_bytes() == (made.path / name).read_bytes()


def test_the_test_part_comes_when_it_is_opened(made, machine):
    expected = open_test(made)
    machine("node")
    found = open_test(Dataset.open("shop"))
    assert (found.targets == expected.targets).all()


def test_what_is_there_is_not_fetched_again(made, machine):
    machine("node")
    Dataset.open("shop")
    path = paths.datasets() / "shop" / "development.arrow"
    before = os.stat(path)
    assert Dataset.open("shop").path == path.parent
    assert os.stat(path) == before


def test_a_new_version_reaches_all(made, machine, shop_tables):
    machine("node")
    old = Dataset.open("shop").content_hash
    machine("laptop")
    interactions, features = shop_tables
    prepare(
        "shop",
        Sources(interactions=interactions, features={"text": features["text"]}),
        overwrite=True,
    )
    machine("node")
    new = Dataset.open("shop")
    assert new.content_hash != old
    assert new.modalities == ("text",)
    assert not (new.path / "features" / "image.arrow").exists()


def test_a_cut_off_publication_is_made_good_by_the_same_import(made, machine, shop_tables):
    (paths.remote() / "datasets" / "shop" / "manifest.json").unlink()  # written last
    machine("node")
    with pytest.raises(UserError, match="shop"):
        Dataset.open("shop")
    machine("laptop")
    interactions, features = shop_tables
    assert not prepare("shop", Sources(interactions=interactions, features=features)).fresh
    machine("node")
    assert Dataset.open("shop").content_hash == made.content_hash


def test_a_damaged_file_is_told(made, machine):
    version = paths.remote() / "datasets" / "shop" / made.content_hash[:16]
    (version / "items.arrow").write_text("short")
    machine("node")
    with pytest.raises(UserError, match=r"items\.arrow has 5 bytes"):
        Dataset.open("shop")
    assert not (paths.datasets() / "shop").exists(), "nothing half-made is left"

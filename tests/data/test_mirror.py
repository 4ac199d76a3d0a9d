"""Data sets of a home in an object store: published once, fetched where they are missing."""

from __future__ import annotations

import json
import os

import pytest

from mmsr import paths
from mmsr.data import Dataset, Sources, catalog, prepare
from mmsr.data.held_out import open_test
from mmsr.data.openings import openings, set_apart_at
from mmsr.errors import UserError
from mmsr.remote import RemotePath


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


def test_another_machine_has_the_same_and_no_test_part(made, machine):
    machine("node")
    assert catalog.names() == ["shop"]
    fetched = Dataset.open("shop")
    assert fetched.path.is_relative_to(paths.home())
    assert fetched.content_hash == made.content_hash
    assert files(made.path) == files(fetched.path)
    assert not list(paths.home().rglob("test.arrow"))
    for name in files(fetched.path):
        assert (fetched.path / name).read_bytes() == (made.path / name).read_bytes()


def test_test_is_read_from_the_store_and_each_opening_recorded_there(made, machine):
    machine("node")
    shop = Dataset.open("shop")
    assert openings(shop) == ()
    found = open_test(shop, who="node", why="a study")
    assert len(found) == made.manifest.counts.test_targets
    assert not list(paths.home().rglob("test.arrow")), "it was never copied"
    machine("laptop")
    open_test(made, who="laptop", why="another study")
    machine("third")
    assert sorted(one.who for one in openings(Dataset.open("shop"))) == ["laptop", "node"]


def test_a_test_part_that_an_earlier_version_published_is_found(made, machine, tmp_path):
    old = paths.remote() / "datasets" / "shop" / made.content_hash[:16]
    new = paths.remote() / "held-out" / "shop" / old.name / "test.arrow"
    listed = json.loads((old / "files.json").read_text())
    part = new.download(tmp_path / "away")
    (old / "test.arrow").upload(part)
    (old / "files.json").write_text(json.dumps({**listed, "test.arrow": part.stat().st_size}))
    new.unlink()
    machine("node")
    shop = Dataset.open("shop")
    assert "test.arrow" not in files(shop.path)
    assert set_apart_at(shop) is not None, "earlier versions can still open it without a record"
    test = open_test(shop, who="tests", why="an earlier version's")
    assert len(test) == made.manifest.counts.test_targets
    (old / "test.arrow").unlink()
    with pytest.raises(UserError, match=r"lacks its test part \(.*held-out/shop\)"):
        open_test(shop, who="tests", why="it is gone")
    assert len(openings(shop)) == 1
    assert set_apart_at(shop) is None


def test_test_stays_closed_where_the_store_takes_no_record(made, machine, monkeypatch):
    machine("node")
    shop = Dataset.open("shop")

    def refused(path, text):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(RemotePath, "write_text", refused)
    with pytest.raises(UserError, match="stays closed, since its opening cannot be recorded"):
        open_test(shop, who="tests", why="never")


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


@pytest.mark.parametrize(
    "name", ["../../evil", "/tmp/evil", "features/../../evil", "a\\b", "features//x", ""]
)
def test_a_store_cannot_write_outside_the_data_set(name, made, machine, tmp_path):
    version = paths.remote() / "datasets" / "shop" / made.content_hash[:16]
    listed = json.loads((version / "files.json").read_text())
    (version / "files.json").write_text(json.dumps({name: 4, **listed}))
    machine("node")
    with pytest.raises(UserError, match=r"files\.json names a file .* nothing is written"):
        Dataset.open("shop")
    assert not (paths.datasets() / "shop").exists()
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("field", ["content_hash", "development_file", "modalities"])
def test_a_manifest_of_a_store_names_plain_files(field, made, machine):
    place = paths.remote() / "datasets" / "shop" / "manifest.json"
    tree = json.loads(place.read_text())
    evil = "../../evil"
    tree[field] = {evil: tree[field]["text"]} if field == "modalities" else evil
    place.write_text(json.dumps(tree))
    machine("node")
    with pytest.raises(UserError, match=rf"damaged: {field}"):
        Dataset.open("shop")


@pytest.mark.parametrize("text", ["[]", "{", '{"a": "b"}', '{"a": -1.5}'])
def test_a_damaged_list_of_files_is_told(text, made, machine):
    version = paths.remote() / "datasets" / "shop" / made.content_hash[:16]
    (version / "files.json").write_text(text)
    machine("node")
    with pytest.raises(UserError, match=r"files\.json is damaged: publish the data set again"):
        Dataset.open("shop")


def test_other_contents_of_the_same_size_are_told(made, machine):
    version = paths.remote() / "datasets" / "shop" / made.content_hash[:16]
    size = (version / "items.arrow").size()
    (version / "items.arrow").write_text("x" * size)
    machine("node")
    with pytest.raises(UserError, match=r"items\.arrow has other contents than were published"):
        Dataset.open("shop")
    assert not (paths.datasets() / "shop").exists()


def test_a_version_without_hashes_is_fetched_by_its_sizes(made, machine):
    version = paths.remote() / "datasets" / "shop" / made.content_hash[:16]
    (version / "hashes.json").unlink()
    machine("node")
    assert Dataset.open("shop").content_hash == made.content_hash

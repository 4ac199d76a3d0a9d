"""The catalogue says what it must, and nothing that it cannot know."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest

from mmsr import paths
from mmsr.data.catalogue.entries import Entry, PublishedCounts, entry, names
from mmsr.errors import UserError

# Users, items and interactions of the paper's table 1. Its columns Kitchen and Phone are swapped.
TABLE_1 = {
    "beauty": (22_363, 12_101, 198_502),
    "clothing": (39_387, 23_033, 278_677),
    "sports": (35_598, 18_357, 296_337),
    "toys": (19_412, 11_924, 167_597),
    "phone": (27_879, 10_429, 194_439),
    "kitchen": (66_519, 28_237, 551_682),
}
ROLES = {
    "amazon2014": ["reviews", "metadata", "images"],
    "amazon2018": ["reviews", "metadata"],
    "amazon2023": ["ratings", "metadata", "reviews"],
    "movielens": ["ratings"],
    "microlens": ["ratings", "texts"],
}
ENTRIES = [entry(name) for name in names()]


def test_published_counts_are_those_of_table_1():
    published = {one.name: one.published for one in ENTRIES if one.published}
    assert published == {name: PublishedCounts(*counts) for name, counts in TABLE_1.items()}


@pytest.mark.parametrize("release", ["", "-2018", "-2023"])
def test_every_release_has_the_six_categories(release):
    assert {f"{name}{release}" for name in TABLE_1} <= set(names())


@pytest.mark.parametrize("one", ENTRIES, ids=lambda one: one.name)
def test_entries_are_complete(one: Entry):
    assert paths.NAME.fullmatch(one.name)
    assert one.title
    assert one.citation
    assert one.roles() == ROLES[one.format]
    assert (one.category is not None) == one.format.startswith("amazon")
    assert len({file.name for file in one.files}) == len(one.files)
    for file in one.files:
        assert re.fullmatch(r"https?://[a-z.]+/[\w./-]+", file.url)
        assert file.url.endswith(f"/{file.name}")
        assert one.category is None or one.category in file.name
        assert file.size is None or file.size > 0
        assert re.fullmatch("|(sha256:[0-9a-f]{64})|(md5:[0-9a-f]{32})", file.checksum or ""), (
            file.checksum
        )


def test_no_name_is_given_twice():
    text = (files("mmsr.data.catalogue") / "catalogue.json").read_text()
    assert [fields["name"] for fields in json.loads(text)] == names()


def test_files_are_kept_in_the_home(home):
    assert entry("toys").folder == home / "downloads" / "toys"


def test_files_are_kept_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", "s3://bucket/mmsr")
    monkeypatch.setenv("MMSR_COPIES", str(tmp_path))
    assert entry("toys").folder.is_relative_to(tmp_path)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(UserError, match="did you mean 'kitchen'"):
        entry("kitchens")

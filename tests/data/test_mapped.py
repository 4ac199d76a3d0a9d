"""Prefixes on mapped files: the same as made anew, shared, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mmsr import paths
from mmsr.data import Dataset
from mmsr.data.splits import prefixes_between

PARTS = ("train", "valid", "development")


@pytest.fixture
def own_cache(shop_home, tmp_path, monkeypatch):
    """The shop's data under a home of its own."""
    (tmp_path / "datasets").symlink_to(shop_home / "datasets")
    monkeypatch.setenv("MMSR_HOME", str(tmp_path))
    return paths.prefixes_cache()


def by_hand(dataset, part):
    """Targets user by user, the slow way."""
    whole = dataset.development()
    bounds = dataset._lengths - dataset._n_valid
    offsets = np.concatenate([[0], np.cumsum(dataset._lengths)])
    first = {"valid": bounds}.get(part, 0 * bounds)
    last = {"train": bounds}.get(part, dataset._lengths)
    return prefixes_between(whole.items, offsets, first, last)


@pytest.mark.parametrize("part", PARTS)
def test_the_second_process_maps_what_the_first_has_made(own_cache, part):
    made = getattr(Dataset.open("shop"), part)()
    (file,) = own_cache.glob(f"*-{part}-*")
    mapped = getattr(Dataset.open("shop"), part)()
    expected = by_hand(Dataset.open("shop"), part)
    for found in (made, mapped):
        for name in ("items", "starts", "targets", "users"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    maps = Path("/proc/self/maps").read_text().splitlines()
    held = [line for line in maps if line.endswith(file.name)]
    assert held, "it lies on the file"
    assert not mapped.targets.flags.writeable


def test_a_damaged_file_is_made_again(own_cache):
    expected = Dataset.open("shop").train().targets
    (file,) = own_cache.glob("*-train-*")
    for text in (b"", b"no arrow", file.read_bytes()[:100]):
        os.unlink(file)
        file.write_bytes(text)
        np.testing.assert_array_equal(Dataset.open("shop").train().targets, expected)
    assert len(file.read_bytes()) > 100
    assert not list(own_cache.glob("*.partial"))


def test_a_cache_that_cannot_be_written_is_done_without(own_cache):
    expected = Dataset.open("shop").valid().targets.copy()
    for file in own_cache.iterdir():
        file.unlink()
    own_cache.rmdir()
    own_cache.write_text("a file is in the way")
    np.testing.assert_array_equal(Dataset.open("shop").valid().targets, expected)

"""What `exports.py` expects other libraries to find in an export."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest


@pytest.fixture
def exports(load):
    return load("exports")


def test_examples_are_hashed_by_their_ids(exports, shop):
    valid = shop.valid()
    found = exports.described(shop, valid)
    digest = hashlib.sha256()
    for user, start, target in zip(valid.users, valid.starts, valid.targets, strict=True):
        seen = [shop.item_ids[item] for item in valid.items[start:target][-exports.HISTORY :]]
        item = shop.item_ids[valid.items[target]]
        digest.update(json.dumps([shop.user_ids[user], seen, item]).encode())
    assert found == {"targets": len(valid), "sha256": digest.hexdigest()}


def test_items_without_a_vector_have_zeros(exports, shop):
    table = shop.features("image")
    assert len(table.items) < shop.n_items
    whole = np.zeros((shop.n_items, 12), dtype=np.float32)
    for item, vector in zip(table.items, table.vectors, strict=True):
        whole[item] = vector
    assert exports.vectors_of(shop, "image") == hashlib.sha256(whole.tobytes()).hexdigest()


def test_differences_are_counted(exports):
    tree = {"a": 1, "b": {"c": 2, "d": 3}}
    assert exports.differences(tree, tree) == 0
    assert exports.differences(tree, {"a": 1, "b": {"c": 2, "d": 4}}) == 1
    assert exports.differences(tree, {"a": 2, "e": 5, "b": {"c": 2}}) == 3
    assert exports.differences(tree, {"a": 1}) == 1

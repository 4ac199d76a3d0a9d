"""The reference models against float64 loops, and EASE against ridge regressions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from mmsr.data.splits import Prefixes
from mmsr.models.reference import ease, item_knn
from mmsr.models.reference.ease import Ease, invert, memory_needed
from mmsr.models.reference.interactions import interaction_counts, users_items
from mmsr.models.reference.item_knn import ItemKnn
from mmsr.models.reference.popularity import Popularity
from mmsr.models.reference.settings import EaseSettings, ItemKnnSettings

N_ITEMS = 30


def summed(weights_II, histories_BL):
    """Scores by a loop over the distinct items of each history."""
    scores = np.zeros((len(histories_BL), len(weights_II)))
    for row, history in enumerate(histories_BL.tolist()):
        for item in set(history) - {-1}:
            scores[row] += weights_II[item]
    return scores


def test_interactions_are_those_of_training_alone(shop):
    counts = interaction_counts(shop.train, N_ITEMS).toarray()
    wanted = np.zeros_like(counts)
    for user, items in enumerate(shop.learned):
        for item in items:
            wanted[user, item] += 1
    assert wanted.max() > 1, "items are repeated"
    np.testing.assert_array_equal(counts, wanted)
    np.testing.assert_array_equal(users_items(shop.train, N_ITEMS).toarray(), shop.seen_UI)


def test_popularity_counts_interactions(shop):
    scores = Popularity.fit(shop.train, N_ITEMS).scores(torch.from_numpy(shop.histories_BL))
    counts = [sum(items.count(item) for items in shop.learned) for item in range(N_ITEMS)]
    assert scores.tolist() == [counts] * len(shop.histories_BL)


def slow_similarities(seen_UI, neighbours, shrinkage):
    """Row: item of the history, column: scored item."""
    n_items = seen_UI.shape[1]
    found = np.zeros((n_items, n_items))
    for scored in range(n_items):
        similar = {}
        for item in range(n_items):
            common = float(seen_UI[:, item] @ seen_UI[:, scored])
            if item != scored and common:
                norms = math.sqrt(seen_UI[:, item].sum()) * math.sqrt(seen_UI[:, scored].sum())
                similar[item] = common / (norms + shrinkage)
        # Rounded, so that ties are ties.
        nearest = sorted(similar, key=lambda item: (-round(similar[item], 6), item))
        for item in nearest[:neighbours]:
            found[item, scored] = similar[item]
    return found


@pytest.mark.parametrize("block_entries", [item_knn.BLOCK_ENTRIES, 40])
@pytest.mark.parametrize(
    ("neighbours", "shrinkage"), [(100, 0.0), (100, 3.5), (4, 0.0), (3, 20.0), (1, 1.0)]
)
def test_item_knn_equals_a_loop(shop, monkeypatch, neighbours, shrinkage, block_entries):
    monkeypatch.setattr(item_knn, "BLOCK_ENTRIES", block_entries)
    model = ItemKnn.fit(shop.train, N_ITEMS, ItemKnnSettings(neighbours, shrinkage))
    wanted_II = slow_similarities(shop.seen_UI, neighbours, shrinkage)
    np.testing.assert_allclose(model.weights_II.toarray(), wanted_II, atol=1e-6)
    assert (wanted_II != 0).sum(axis=0).max() <= neighbours
    scores = model.scores(torch.from_numpy(shop.histories_BL))
    np.testing.assert_allclose(scores.numpy(), summed(wanted_II, shop.histories_BL), atol=1e-6)


@pytest.mark.parametrize("block", [1024, 7])
@pytest.mark.parametrize("l2", [0.5, 40.0])
def test_ease_equals_one_ridge_regression_per_item(shop, monkeypatch, l2, block):
    monkeypatch.setattr(ease, "_BLOCK", block)
    seen_UI = shop.seen_UI
    wanted_II = np.zeros((N_ITEMS, N_ITEMS))
    for item in range(N_ITEMS):
        others = np.arange(N_ITEMS) != item
        ridge = Ridge(alpha=l2, fit_intercept=False, solver="cholesky")
        wanted_II[others, item] = ridge.fit(seen_UI[:, others], seen_UI[:, item]).coef_
    model = Ease.fit(shop.train, N_ITEMS, EaseSettings(l2))
    np.testing.assert_allclose(model.weights_II, wanted_II, atol=2e-6)
    scores = model.scores(torch.from_numpy(shop.histories_BL))
    np.testing.assert_allclose(scores.numpy(), summed(wanted_II, shop.histories_BL), atol=1e-5)


def test_a_matrix_is_inverted_in_its_own_memory():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(60, 50)).astype(np.float32)
    matrix = factor.T @ factor + np.eye(50, dtype=np.float32)
    wanted = np.linalg.inv(matrix.astype(np.float64))
    inverse = invert(matrix)
    np.testing.assert_allclose(inverse, wanted, atol=1e-5)
    np.testing.assert_array_equal(inverse, inverse.T)
    assert np.shares_memory(inverse, matrix)


def test_a_matrix_without_a_cholesky_factor_is_refused():
    with pytest.raises(FloatingPointError, match="not positive definite"):
        invert(-np.eye(3, dtype=np.float32))


def test_ease_takes_three_matrices():
    assert memory_needed(10_000) == 3 * 4 * 10_000**2


@pytest.mark.parametrize("fit", [Popularity.fit, ItemKnn.fit, Ease.fit])
def test_padding_order_and_later_changes_do_not_matter(shop, fit):
    model = fit(shop.train, N_ITEMS)
    histories = torch.from_numpy(shop.histories_BL)
    scores = model.scores(histories)
    padded = torch.nn.functional.pad(histories, (0, 3), value=-1)
    turned = torch.arange(len(histories)).flip(0)
    before = scores.clone()
    scores.fill_(float("-inf"))
    torch.testing.assert_close(model.scores(padded), before)
    torch.testing.assert_close(model.scores(histories[turned]), before[turned])


@pytest.mark.parametrize("fit", [Popularity.fit, ItemKnn.fit, Ease.fit])
def test_without_training_examples_all_scores_are_zero(fit):
    none = np.zeros(0, dtype=np.int64)
    empty = Prefixes(np.zeros(0, dtype=np.int32), none, none, none.astype(np.int32))
    scores = fit(empty, 5).scores(torch.tensor([[0, 3, -1]]))
    assert scores.tolist() == [[0.0] * 5]

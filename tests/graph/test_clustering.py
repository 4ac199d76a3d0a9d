"""Clusterings: residual codes as a slow loop, equal sizes, and what all have in common."""

from __future__ import annotations

import time
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import MiniBatchKMeans

from mmsr.config import GraphConfig
from mmsr.data import FeatureTable
from mmsr.graph import reduction as reductions
from mmsr.graph.balanced import balanced_kmeans, balancing_prices, fill, squared_distances
from mmsr.graph.clustering import CLUSTERINGS
from mmsr.graph.codes import compute_codes
from mmsr.graph.reduction import REDUCTIONS

N_ITEMS = 60


def table(seed: int = 0) -> FeatureTable:
    """Vectors of all items but every tenth, in no clear groups."""
    items = np.array([i for i in range(N_ITEMS) if i % 10])
    vectors = np.random.default_rng(seed).normal(size=(len(items), 6)).astype(np.float32)
    return FeatureTable(items, vectors)


def config_of(clustering: str, **settings: object) -> GraphConfig:
    return GraphConfig(n_codes=5, clustering=clustering, reduction="none", **settings)


def test_a_config_can_name_what_there_is():
    fields = GraphConfig.model_fields
    assert set(get_args(fields["clustering"].annotation)) == set(CLUSTERINGS)
    assert set(get_args(fields["reduction"].annotation)) == set(REDUCTIONS)


@pytest.mark.parametrize("links", [1, 3, 5])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("clustering", CLUSTERINGS)
def test_every_item_is_linked_at_every_level(clustering, reduction, links, monkeypatch):
    monkeypatch.setattr(reductions, "_STEPS", 20)
    config = GraphConfig(
        n_codes=5, links_per_item=links, clustering=clustering, reduction=reduction, levels=2
    )
    given = table()
    fitted = given.items < 40
    codes = compute_codes(given, N_ITEMS, config, 5, fitted)
    levels = config.n_levels
    assert levels == (2 if clustering == "residual" else 1)
    assert codes.links.shape == (N_ITEMS, levels * links)
    assert codes.links.dtype == np.int64
    assert codes.centres.shape == (levels * 5, 6)
    assert codes.centres.dtype == np.float32
    assert np.isfinite(codes.centres).all()
    assert (codes.links[::10] == -1).all()
    for level in range(levels):
        chosen = codes.links[given.items][:, level * links : (level + 1) * links]
        assert ((chosen >= level * 5) & (chosen < (level + 1) * 5)).all()
        assert all(len(set(row)) == links for row in chosen)
    again = compute_codes(given, N_ITEMS, config, 5, fitted)
    np.testing.assert_array_equal(codes.links, again.links)
    np.testing.assert_array_equal(codes.centres, again.centres)


@pytest.mark.parametrize("clustering", CLUSTERINGS)
def test_more_links_keep_the_nearest(clustering):
    one = compute_codes(table(), N_ITEMS, config_of(clustering, levels=2), 5)
    two = compute_codes(table(), N_ITEMS, config_of(clustering, levels=2, links_per_item=2), 5)
    np.testing.assert_array_equal(two.links[:, ::2], one.links)
    np.testing.assert_array_equal(two.centres, one.centres)


@pytest.mark.parametrize("clustering", CLUSTERINGS)
def test_items_that_are_alike_are_no_obstacle(clustering):
    """Half of the items have one placeholder image."""
    given = table()
    given.vectors[::2] = 1.5
    codes = compute_codes(given, N_ITEMS, config_of(clustering, levels=3), 5)
    assert np.isfinite(codes.centres).all()
    assert (codes.links[given.items] >= 0).all()


@pytest.mark.parametrize("n_levels", [1, 2, 4])
def test_residual_codes_are_those_of_a_slow_loop(n_levels):
    given = table(1)
    config = config_of("residual", levels=n_levels, links_per_item=2, seed=3)
    codes = compute_codes(given, N_ITEMS, config, 5)
    left = given.vectors.copy()
    for level in range(n_levels):
        means = MiniBatchKMeans(5, random_state=3, n_init=3).fit(left).cluster_centers_
        for row, item in enumerate(given.items):
            apart = [float(np.linalg.norm(left[row] - mean)) for mean in means]
            first, second = sorted(range(5), key=apart.__getitem__)[:2]
            assert codes.links[item, 2 * level : 2 * level + 2].tolist() == [
                5 * level + first,
                5 * level + second,
            ]
            left[row] -= means[first]
        np.testing.assert_array_equal(codes.centres[5 * level : 5 * level + 5], means)


def test_each_level_brings_the_sum_of_centres_nearer():
    given = table(2)
    codes = compute_codes(given, N_ITEMS, config_of("residual", levels=4), 5)
    off = [
        np.square(given.vectors - codes.centres[codes.links[given.items, :n]].sum(axis=1)).mean()
        for n in range(1, 5)
    ]
    assert off == sorted(off, reverse=True)
    assert off[-1] < 0.6 * off[0]


def test_one_level_of_residual_codes_is_kmeans():
    one = compute_codes(table(), N_ITEMS, config_of("residual", levels=1), 5)
    plain = compute_codes(table(), N_ITEMS, config_of("kmeans"), 5)
    np.testing.assert_array_equal(one.links, plain.links)
    np.testing.assert_array_equal(one.centres, plain.centres)


@settings(max_examples=40)
@given(
    n=st.integers(1, 80),
    n_centres=st.integers(1, 12),
    shape=st.sampled_from(["normal", "skewed", "alike", "grid"]),
    seed=st.integers(0, 99),
)
def test_sizes_differ_by_at_most_one(n, n_centres, shape, seed):
    n_centres = min(n, n_centres)
    rng = np.random.default_rng(seed)
    points = {
        "normal": rng.normal(size=(n, 3)),
        "skewed": rng.normal(size=(n, 3)) * rng.exponential(size=(n, 1)) ** 4,
        "alike": np.ones((n, 3)),
        "grid": rng.integers(2, size=(n, 3)),
    }[shape].astype(np.float32)
    assigned, centres, prices = balanced_kmeans(points, points[:n_centres].copy())
    sizes = np.bincount(assigned, minlength=n_centres)
    assert sizes.sum() == n
    assert sizes.max() - sizes.min() <= 1
    for code in range(n_centres):
        mean = points[assigned == code].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(centres[code], mean, rtol=1e-4, atol=1e-4)
    assert np.isfinite(prices).all()


@pytest.mark.parametrize(("n", "n_centres"), [(40, 4), (101, 7), (300, 10)])
def test_the_assignment_is_nearly_the_cheapest(n, n_centres):
    rng = np.random.default_rng(n)
    points = rng.normal(size=(n, 3)).astype(np.float32)
    points[: n // 2] *= 0.2  # a crowd in the middle
    costs = squared_distances(points, points[rng.permutation(n)[:n_centres]])
    found = fill(costs + balancing_prices(costs, np.zeros(n_centres, dtype=np.float32)))
    sizes = np.bincount(found, minlength=n_centres)
    places = np.repeat(np.arange(n_centres), sizes)  # a column for each place at a centre
    rows, columns = linear_sum_assignment(costs[:, places])
    least = costs[rows, places[columns]].sum()
    nearest_first = fill(costs)
    assert least * (1 - 1e-5) <= costs[np.arange(n), found].sum() <= 1.05 * least
    assert costs[np.arange(n), found].sum() <= costs[np.arange(n), nearest_first].sum()


def test_equal_points_take_no_longer():
    """Nearly all want the same centre, then the same second one, and so on."""
    n, n_centres = 20_000, 500
    costs = np.random.default_rng(0).random((n, n_centres), dtype=np.float32)
    costs[: int(0.9 * n)] = costs[0]
    start = time.process_time()
    sizes = np.bincount(fill(costs), minlength=n_centres)
    assert time.process_time() - start < 10, "the time of a pass over the costs"
    assert (sizes == n // n_centres).all()


def test_balanced_codes_share_the_fitted_items_evenly():
    given = table(3)
    given.vectors[:40] *= 0.1
    fitted = np.arange(len(given.items)) % 3 > 0
    codes = compute_codes(given, N_ITEMS, config_of("balanced", links_per_item=2), 5, fitted)
    sizes = np.bincount(codes.links[given.items[fitted], 0], minlength=5)
    assert sizes.tolist() == [fitted.sum() // 5 + (size > fitted.sum() // 5) for size in sizes]
    plain = compute_codes(given, N_ITEMS, config_of("kmeans"), 5, fitted)
    assert np.bincount(plain.links[given.items[fitted], 0]).max() > sizes.max() + 1

"""Reductions: the linear autoencoder beside PCA's optimum, and fits on some rows alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from mmsr.graph import reduction
from mmsr.graph.reduction import REDUCTIONS, autoencoder, linear_autoencoder, pca


def drawn(n: int = 200, width: int = 24, seed: int = 0) -> np.ndarray:
    """Vectors whose variance falls off along hidden axes."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(width, width)))
    scaled = rng.normal(size=(n, width)) / np.arange(1, width + 1)
    return (scaled @ basis).astype(np.float32)


@pytest.fixture
def few_steps(monkeypatch):
    """Train autoencoders for a moment only."""
    monkeypatch.setattr(reduction, "_STEPS", 20)


def error_of(vectors: np.ndarray, width: int) -> float:
    """The least mean squared error of a linear reconstruction, by PCA."""
    model = PCA(width).fit(vectors)
    return float(np.square(vectors - model.inverse_transform(model.transform(vectors))).mean())


@pytest.mark.parametrize(("n", "width", "seed"), [(200, 4, 0)])
def test_the_autoencoder_reconstructs_nearly_as_well_as_pca(n, width, seed):
    vectors = drawn(n, seed=seed)
    vectors = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0).mean()
    encode, decode = (weights.numpy() for weights in linear_autoencoder(vectors, width, seed))
    error = float(np.square(vectors - vectors @ encode @ decode).mean())
    least = error_of(vectors, width)
    assert 0.999 * least <= error <= 1.03 * least


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_the_autoencoder_spans_the_subspace_of_pca_at_any_scale_and_place(scale):
    vectors = scale * (drawn() + 5)
    fitted = np.ones(len(vectors), dtype=bool)
    reduced = autoencoder(vectors, fitted, 3, 0)
    components = PCA(3).fit_transform(vectors.astype(np.float64))
    fit = reduced @ np.linalg.lstsq(reduced.astype(np.float64), components, rcond=None)[0]
    assert np.square(fit - components).sum() < 0.01 * np.square(components).sum()


def test_the_autoencoder_follows_its_seed_and_leaves_torch_alone(few_steps):
    vectors, fitted = drawn(50), np.ones(50, dtype=bool)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    first = autoencoder(vectors, fitted, 3, 0)
    with torch.no_grad():
        np.testing.assert_array_equal(autoencoder(vectors, fitted, 3, 0), first)
    assert (autoencoder(vectors, fitted, 3, 1) != first).any()
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", REDUCTIONS)
def test_rows_that_are_not_fitted_on_are_reduced_and_change_nothing(name, few_steps):
    vectors = drawn(60)
    fitted = np.arange(60) < 40
    before = REDUCTIONS[name](vectors, fitted, 5, 0).copy()
    assert before.shape == (60, 24 if name == "none" else 5)
    vectors[50:] += 100
    after = REDUCTIONS[name](vectors, fitted, 5, 0)
    np.testing.assert_array_equal(after[:50], before[:50])
    assert (after[50:] != before[50:]).all(axis=1).all()


def test_pca_of_all_rows_is_as_it_was():
    vectors = drawn(50)
    found = pca(vectors, np.ones(50, dtype=bool), 5, 0)
    np.testing.assert_array_equal(found, PCA(5, random_state=0).fit_transform(vectors))


@pytest.mark.parametrize("name", ["pca", "autoencoder"])
def test_the_width_is_at_most_what_the_fitted_rows_allow(name, few_steps):
    vectors = drawn(60)
    assert REDUCTIONS[name](vectors, np.arange(60) < 7, 128, 0).shape == (60, 7)


def test_vectors_that_are_all_alike_are_reduced(few_steps):
    reduced = autoencoder(np.ones((9, 4), np.float32), np.ones(9, bool), 2, 0)
    assert reduced.shape == (9, 2)
    assert np.isfinite(reduced).all()

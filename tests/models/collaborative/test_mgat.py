"""MGAT against loops over nodes and edges in float64."""

from __future__ import annotations

import pytest
import torch

from .common import (
    GRAPH,
    N_ITEMS,
    assert_same,
    channel_weights,
    make,
    scaled_features,
    vectors_of,
)
from .oracles import mgat

KNOBS = {"width": 4, "latent_width": 6}


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_vectors_and_gradients_equal_the_oracles(layers: int) -> None:
    model = make("mgat", **KNOBS, layers=layers)
    weights = channel_weights(model)
    expected = mgat(GRAPH, scaled_features(), weights, layers, "neighbour", outputs="all")
    assert_same(model, vectors_of(model), expected)


def test_the_gate_counts_the_neighbours_of_the_neighbour() -> None:
    """As the authors' code has it; the neighbours of the node that reads give other vectors."""
    model = make("mgat", **KNOBS, layers=1)
    users, _ = mgat(GRAPH, scaled_features(), channel_weights(model), 1, "centre")
    assert not torch.allclose(vectors_of(model)[0], users, atol=1e-6)


def test_users_read_items_that_lose_modalities_and_scored_items_keep_them() -> None:
    model, lost = make("mgat", **KNOBS, layers=2), {"image": (0, 5), "text": (0, 2, 6)}
    weights = channel_weights(model)
    users, _ = mgat(GRAPH, scaled_features(lost), weights, 2, "neighbour", outputs="all")
    _, items = mgat(GRAPH, scaled_features(), weights, 2, "neighbour", outputs="all")
    where = {name: torch.isin(torch.arange(N_ITEMS), torch.tensor(x)) for name, x in lost.items()}
    with model.tables.losing(lambda modality, _: where[modality][None]):
        assert_same(model, vectors_of(model), (users, items))


def test_large_scores_stay_finite() -> None:
    model = make("mgat", **KNOBS, layers=2)
    with torch.no_grad():
        model.layers[0][0].read.map.weight.mul_(1e3)
    vectors = vectors_of(model)
    sum(x.sum() for x in vectors).backward()
    assert all(x.isfinite().all() for x in vectors)
    assert all(x.grad.isfinite().all() for x in model.parameters())

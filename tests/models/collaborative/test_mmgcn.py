"""MMGCN against loops over nodes in float64, and its neighbourhoods against torch-geometric."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import SimpleConv

from mmsr.models.collaborative.mmgcn import NeighbourMean

from .common import (
    EXACT,
    GRAPH,
    N_ITEMS,
    N_USERS,
    assert_same,
    channel_weights,
    make,
    scaled_features,
    some_edges,
    vectors_of,
)
from .oracles import mmgcn

KNOBS = {"width": 4, "latent_width": 6}


@pytest.mark.parametrize("combination", ["add", "concat"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_vectors_and_gradients_equal_the_oracles(layers: int, combination: str) -> None:
    model = make("mmgcn", **KNOBS, layers=layers, combination=combination)
    expected = mmgcn(GRAPH, scaled_features(), channel_weights(model), layers, combination)
    assert_same(model, vectors_of(model), expected)


def test_users_read_items_that_lose_modalities_and_scored_items_keep_them() -> None:
    model, lost = make("mmgcn", **KNOBS, layers=2), {"image": (0, 5), "text": (0, 2, 6)}
    weights = channel_weights(model)
    users, _ = mmgcn(GRAPH, scaled_features(lost), weights, 2, "add")
    kept, items = mmgcn(GRAPH, scaled_features(), weights, 2, "add")
    where = {name: torch.isin(torch.arange(N_ITEMS), torch.tensor(x)) for name, x in lost.items()}
    with model.tables.losing(lambda modality, _: where[modality][None]):
        assert_same(model, vectors_of(model), (users, items))
    assert not torch.allclose(users, kept, atol=1e-3)


def test_a_mean_is_that_of_torch_geometric() -> None:
    model = make("mmgcn", **KNOBS, layers=1)
    read = model.layers[0][0].read
    assert isinstance(read, NeighbourMean)
    x = torch.randn(N_USERS + N_ITEMS, KNOBS["latent_width"])
    expected = SimpleConv(aggr="mean")(read.map(x), some_edges())
    torch.testing.assert_close(read(x, model.graph), expected, **EXACT)


def test_the_regularisation_is_of_mean_squares() -> None:
    model = make("mmgcn", **KNOBS, regularisation=0.25)
    users, targets = torch.randn(3, 4), torch.tensor([0, 1, 2])
    weights = channel_weights(model)
    rows = [weights["ids"][:N_USERS], weights["ids"][N_USERS:]]
    rows += [weights[f"{name}.preferences"] for name in ("image", "text")]
    expected = 0.25 * sum((x * x).sum() / x.numel() for x in rows)
    assert_same(model, (model.auxiliary_loss(users, targets),), (expected,))
    assert make("mmgcn", **KNOBS, regularisation=0.0).auxiliary_loss(users, targets) is None

"""BM3 against loops over nodes in float64, and its propagation against torch-geometric's LGConv."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import LGConv

from mmsr.models.base import Propagated

from .common import (
    EXACT,
    GRAPH,
    LACKING,
    N_ITEMS,
    N_USERS,
    Inputs,
    assert_same,
    bm3_weights,
    gradients_of,
    make,
    scaled_features,
    some_edges,
    vectors_of,
)
from .oracles import bm3, bm3_losses, bm3_scored

BATCH = [(0, 1), (1, 1), (2, 7), (3, 4), (4, 8), (5, 6), (0, 3)]
"""A user without edges, an item twice, and items that lack one modality or both."""
USERS, TARGETS = torch.tensor(BATCH).T
KNOBS = {"width": 5, "dropout": 0.0}
HAS = {m: [item not in lacking for item in range(N_ITEMS)] for m, lacking in LACKING.items()}
each_depth = pytest.mark.parametrize("layers", [0, 1, 2, 3])


@each_depth
def test_vectors_and_gradients_equal_the_oracles(layers: int) -> None:
    model = make("bm3", **KNOBS, layers=layers)
    expected = bm3_scored(GRAPH, bm3_weights(model), layers)
    assert_same(model, vectors_of(model), expected)


@each_depth
def test_propagation_is_that_of_torch_geometric(layers: int) -> None:
    model = make("bm3", **KNOBS, layers=layers)
    rows = [torch.cat([model.users, model.items])]
    for _ in range(layers):
        rows.append(LGConv()(rows[-1], some_edges()))
    expected = torch.stack(rows).mean(0)
    found = model.propagate(losing=False)
    torch.testing.assert_close(found.users, expected[:N_USERS], **EXACT)
    torch.testing.assert_close(found.items, expected[N_USERS:] + model.items, **EXACT)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("alignment", "regularisation"), [(0.7, 0.3), (0.0, 0.3), (1.5, 0.0)])
def test_both_losses_equal_the_oracles(
    alignment: float, regularisation: float, training: bool
) -> None:
    model = make("bm3", **KNOBS, layers=2, alignment=alignment, regularisation=regularisation)
    model.train(training)
    parts = bm3_losses(GRAPH, scaled_features(), HAS, bm3_weights(model), 2, BATCH)
    added = alignment * parts["alignment"] + regularisation * parts["lengths"]
    whole = parts["reconstruction"] + added
    found = model.own_loss(USERS, TARGETS), model.auxiliary_loss(torch.empty(0), TARGETS)
    assert_same(model, found, (whole, added))


def test_an_item_that_loses_a_modality_is_not_aligned() -> None:
    model = make("bm3", **KNOBS, layers=1, alignment=0.7, regularisation=0.3)
    lost = {"image": [1, 4], "text": [6]}
    has = {m: [x and i not in lost[m] for i, x in enumerate(HAS[m])] for m in HAS}
    parts = bm3_losses(GRAPH, scaled_features(), has, bm3_weights(model), 1, BATCH)
    expected = parts["reconstruction"] + 0.7 * parts["alignment"] + 0.3 * parts["lengths"]
    where = {m: torch.isin(torch.arange(N_ITEMS), torch.tensor(x)) for m, x in lost.items()}
    with model.tables.losing(lambda modality, _: where[modality][None]):
        found = model.own_loss(USERS, TARGETS)
        assert_same(model, (found,), (expected,))


def test_a_batch_whose_items_lack_all_modalities_is_not_aligned() -> None:
    model = make("bm3", **KNOBS, alignment=0.7, regularisation=0.0)
    found = model.auxiliary_loss(torch.empty(0), torch.tensor([7, 7]))
    assert found.item() == 0.0
    found.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_targets_pass_no_gradient(dropout: float) -> None:
    knobs = {"width": 5, "layers": 2, "dropout": dropout, "regularisation": 0.0}
    model = make("bm3", **knobs, alignment=0.7).train()
    aligned = model.auxiliary_loss(torch.empty(0), TARGETS)
    assert not any(x.any() for x in gradients_of(aligned, model.users, model.items))
    assert all(x.any() for x in gradients_of(aligned, model.maps[0].linear.weight))

    model = make("bm3", **knobs, alignment=0.0).train()
    with torch.no_grad():
        model.predictor.weight.zero_()  # predictions are alike: only targets tell users apart
    loss = model.own_loss(USERS, TARGETS)
    assert not any(x.any() for x in gradients_of(loss, model.users, model.items))
    assert all(x.any() for x in gradients_of(loss, model.predictor.bias))


def test_dropout_acts_on_targets_and_in_training_alone() -> None:
    model = make("bm3", width=5, dropout=0.5)
    assert torch.equal(model.own_loss(USERS, TARGETS), model.own_loss(USERS, TARGETS))
    before = vectors_of(model)
    model.train()
    assert not torch.equal(model.own_loss(USERS, TARGETS), model.own_loss(USERS, TARGETS))
    assert all(torch.equal(x, y) for x, y in zip(vectors_of(model), before, strict=True))


def test_it_runs_without_any_modality() -> None:
    model = make("bm3", Inputs({}), **KNOBS, layers=2, alignment=0.7, regularisation=0.3)
    weights = bm3_weights(model)
    assert_same(model, vectors_of(model), bm3_scored(GRAPH, weights, 2))
    parts = bm3_losses(GRAPH, {}, {}, weights, 2, BATCH)
    expected = parts["reconstruction"] + 0.3 * parts["lengths"]
    assert_same(model, (model.own_loss(USERS, TARGETS),), (expected,))


def test_before_the_predictor_a_batch_is_compared() -> None:
    """The representations that the loss reads are those of the oracle, items' own added once."""
    model = make("bm3", **KNOBS, layers=3)
    read, scored = model.vectors()
    expected = bm3(GRAPH, bm3_weights(model), 3)
    torch.testing.assert_close(tuple(read), expected, **EXACT)
    torch.testing.assert_close(tuple(scored), expected, **EXACT)


def test_a_step_with_its_own_loss_propagates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("bm3", **KNOBS, layers=2)
    propagate, calls = model.propagate, []

    def counted(losing: bool) -> Propagated:
        calls.append(losing)
        return propagate(losing)

    monkeypatch.setattr(model, "propagate", counted)
    model.own_loss(USERS, TARGETS).backward()
    assert calls == [True]

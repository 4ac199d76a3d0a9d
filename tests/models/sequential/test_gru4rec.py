"""GRU4Rec against its gates written out, one step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmsr.models.sequential.gru4rec import GRU4Rec

from .cases import N_ITEMS, ROWS, exact, make, padded

KNOBS = {"width": 9, "layers": 3}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(layer: nn.GRU, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """One step of a gated recurrent unit whose reset gate acts after the product, as the authors'
    does; torch stores the gates in the order reset, update, candidate."""
    own = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    read = np.split(own["weight_ih_l0"] @ x + own["bias_ih_l0"], 3)
    kept = np.split(own["weight_hh_l0"] @ h + own["bias_hh_l0"], 3)
    reset, update = sigmoid(read[0] + kept[0]), sigmoid(read[1] + kept[1])
    candidate = np.tanh(read[2] + reset * kept[2])
    return (1 - update) * candidate + update * h


def state(model: GRU4Rec, history: list[int]) -> np.ndarray:
    """The last layer's state after a history."""
    items = model.item.weight.detach().numpy()
    states = [np.zeros(items.shape[1]) for _ in model.layers]
    for item in history:
        x = items[item]
        for place, layer in enumerate(model.layers):
            x = states[place] = step(layer, x, states[place])
    return states[-1]


@pytest.mark.parametrize("bias", [True, False])
def test_scores_equal_gates_written_out(bias: bool) -> None:
    model = exact(make("gru4rec", bias=bias, **KNOBS))
    scores = (model.user_vectors(padded(ROWS, extra=3)) @ model.item_vectors().T).detach().numpy()
    items = model.item.weight.detach().numpy()
    for row, history in enumerate(ROWS):
        expected = items @ state(model, history)
        if bias:
            expected = expected + model.bias.detach().numpy()[:, 0]
        np.testing.assert_allclose(scores[row], expected, rtol=1e-9, atol=1e-9)


def test_every_position_is_the_user_vector_of_its_prefix() -> None:
    model = exact(make("gru4rec", **KNOBS))
    vectors = model.sequence_vectors(padded(ROWS, extra=2))
    assert vectors.isfinite().all()
    for row, history in enumerate(ROWS):
        for n in range(1, len(history) + 1):
            alone = model.user_vectors(padded([history[:n]], extra=n % 3))
            torch.testing.assert_close(vectors[row, n - 1 : n], alone)


@pytest.mark.parametrize("bias", [True, False])
def test_some_item_vectors_are_rows_of_all(bias: bool) -> None:
    model = exact(make("gru4rec", bias=bias, **KNOBS))
    some = torch.tensor([29, 0, 0, 7])
    assert model.item_vectors().shape == (N_ITEMS, KNOBS["width"] + bias)
    torch.testing.assert_close(model.item_vectors(some), model.item_vectors()[some])


def test_each_gate_starts_by_its_own_size_and_biases_at_zero() -> None:
    model = make("gru4rec", width=64, layers=2)
    assert not model.bias.any()
    for layer in model.layers:
        for name, parameter in layer.named_parameters():
            if name.startswith("bias"):
                assert not parameter.any(), name
                continue
            for gate in parameter.chunk(3):
                bound = (6 / (64 + 64)) ** 0.5
                assert 0.98 * bound < gate.abs().max() <= bound, name


def trained_on(**knobs: Any) -> Tensor:
    """User vectors in training mode, computed twice with the same weights."""
    model = make("gru4rec", width=9, layers=2, bias=False, **knobs).train()
    return torch.stack([model.user_vectors(padded(ROWS)) for _ in range(2)])


def test_each_dropout_works_alone_and_in_training_alone() -> None:
    none = {"embedding_dropout": 0.0, "hidden_dropout": 0.0}
    first, second = trained_on(**none)
    torch.testing.assert_close(first, second)
    embedded, _ = trained_on(**{**none, "embedding_dropout": 0.5})
    assert not torch.allclose(embedded, first)
    assert (embedded != 0).all()
    hidden, _ = trained_on(**{**none, "hidden_dropout": 0.5})
    dropped = (hidden == 0).float().mean().item()
    assert 0.3 < dropped < 0.7  # of the state that is scored
    model = make("gru4rec", width=9, layers=2, bias=False)  # dropout by default, but evaluated
    torch.testing.assert_close(model.user_vectors(padded(ROWS)), first)


def test_dropout_leaves_the_ones_that_biases_are_scored_with() -> None:
    model = make("gru4rec", hidden_dropout=0.7).train()
    users = model.user_vectors(padded(ROWS))
    torch.testing.assert_close(users[:, -1], torch.ones(len(ROWS)))

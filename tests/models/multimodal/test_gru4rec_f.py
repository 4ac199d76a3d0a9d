"""GRU4Rec^F against loops in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from .common import Inputs, Vector, check, exact, linear, make, projected, some_features

KNOBS = {"width": 6, "hidden_width": 5, "layers": 2}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gru(network: torch.nn.GRU, inputs: list[Vector]) -> list[Vector]:
    """Reset gate r, update gate z, candidate n, layer by layer (Cho et al., 2014)."""
    for depth in range(network.num_layers):
        of_input = exact(getattr(network, f"weight_ih_l{depth}"))
        of_state = exact(getattr(network, f"weight_hh_l{depth}"))
        size = network.hidden_size
        w_r, w_z, w_n = (of_input[k * size : (k + 1) * size] for k in range(3))
        u_r, u_z, u_n = (of_state[k * size : (k + 1) * size] for k in range(3))
        h, states = np.zeros(size), []
        for x in inputs:
            r, z = sigmoid(w_r @ x + u_r @ h), sigmoid(w_z @ x + u_z @ h)
            n = np.tanh(w_n @ x + r * (u_n @ h))
            h = (1 - z) * n + z * h
            states.append(h)
        inputs = states
    return inputs


def oracle(model: Any, features: dict[str, Any], row: list[int]) -> list[Vector]:
    items = [exact(model.item.weight)[item] for item in row]
    found = [np.concatenate([[], *projected(model, features, item)]) for item in row]
    if features and model.feature_gru is None:
        joined = (np.concatenate(pair) for pair in zip(items, found, strict=True))
        items = [linear(model.join, one) for one in joined]
    states = gru(model.gru, items)
    if model.feature_gru is not None:
        of_features = gru(model.feature_gru, found)
        states = [np.concatenate(pair) for pair in zip(states, of_features, strict=True)]
    return [linear(model.output, state) for state in states]


@pytest.mark.parametrize("architecture", ["parallel", "concat"])
@pytest.mark.parametrize("modalities", [("image", "text"), ("text",), ()])
def test_vectors_equal_the_oracles(modalities: tuple[str, ...], architecture: str) -> None:
    features = {name: f for name, f in some_features().items() if name in modalities}
    model = make("gru4rec_f", Inputs(features), architecture=architecture, **KNOBS)
    assert (model.feature_gru is not None) == (architecture == "parallel" and bool(modalities))
    check(model, oracle, features)

"""Trans2D against loops in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from .common import (
    Inputs,
    Vector,
    check,
    exact,
    gelu,
    layer_norm,
    make,
    projected,
    softmax,
    some_features,
)

KNOBS = {"width": 5, "layers": 2, "heads": 3, "inner_width": 7}


def mapped(layer: Any, x: np.ndarray) -> np.ndarray:
    """Each row of `[C, in]` by the map of its attribute."""
    weight, bias = exact(layer.weight), exact(layer.bias)
    return np.stack([weight[c] @ x[c] + bias[c] for c in range(len(x))])


def attention(layer: Any, x: list[np.ndarray]) -> list[np.ndarray]:
    n_attributes, width = x[0].shape
    alpha = exact(layer.alpha)
    queries, keys, values = (
        [mapped(map_, one) for one in x] for map_ in (layer.query, layer.key, layer.value)
    )
    new = []
    for i in range(len(x)):
        read = np.zeros((n_attributes, layer.heads * width))
        for head in range(layer.heads):
            part = slice(head * width, (head + 1) * width)
            q, k, v = ([one[:, part] for one in each] for each in (queries, keys, values))
            for a in range(n_attributes):
                pairs = [(j, c) for j in range(i + 1) for c in range(n_attributes)]
                scores = []
                for j, c in pairs:
                    score = alpha[0] * (q[i][a] @ k[j][c])
                    score += alpha[1] * sum(q[m][a] @ k[m][c] for m in range(i + 1))
                    score += alpha[2] * sum(q[i][b] @ k[j][b] for b in range(n_attributes))
                    scores.append(float(score) / math.sqrt(width))
                for (j, c), weight in zip(pairs, softmax(scores), strict=True):
                    read[a, part] += weight * v[j][c]
        new.append(mapped(layer.output, read))
    return new


def oracle(model: Any, features: dict[str, Any], row: list[int]) -> list[Vector]:
    x = []
    for place, item in enumerate(row):
        attributes = [exact(model.item.weight)[item], *projected(model, features, item)]
        x.append(layer_norm(model.norm, np.stack(attributes) + exact(model.position.weight)[place]))
    for layer in model.layers:
        changes = attention(layer.attention, x)
        x = [layer_norm(layer.norm.norm, one + more) for one, more in zip(x, changes, strict=True)]
        changes = [mapped(layer.outer, gelu(mapped(layer.inner, one))) for one in x]
        x = [
            layer_norm(layer.outer_norm.norm, one + more)
            for one, more in zip(x, changes, strict=True)
        ]
    return [one.mean(axis=0) for one in x]


@pytest.mark.parametrize("modalities", [("image", "text"), ("text",), ()])
def test_vectors_equal_the_oracles(modalities: tuple[str, ...]) -> None:
    features = {name: f for name, f in some_features().items() if name in modalities}
    check(make("trans2d", Inputs(features), **KNOBS), oracle, features)

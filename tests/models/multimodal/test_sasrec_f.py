"""SASRec^F against loops in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .common import (
    Inputs,
    Vector,
    attention,
    check,
    exact,
    layer_norm,
    linear,
    make,
    projected,
    some_features,
)

KNOBS = {"width": 6, "layers": 3, "heads": 3, "inner_width": 10}


def oracle(model: Any, features: dict[str, Any], row: list[int]) -> list[Vector]:
    x = []
    for place, item in enumerate(row):
        vector = exact(model.item.weight)[item]
        if features:
            joined = np.concatenate([vector, *projected(model, features, item)])
            vector = linear(model.join, joined)
        x.append(layer_norm(model.norm, vector + exact(model.position.weight)[place]))
    for layer in model.layers:
        x = attention(layer, x, x)
    return x


@pytest.mark.parametrize("modalities", [("image", "text"), ("text",), ()])
def test_vectors_equal_the_oracles(modalities: tuple[str, ...]) -> None:
    features = {name: f for name, f in some_features().items() if name in modalities}
    check(make("sasrec_f", Inputs(features), **KNOBS), oracle, features)

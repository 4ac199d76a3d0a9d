"""NOVA against loops in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from .common import (
    Inputs,
    Vector,
    attention,
    check,
    exact,
    layer_norm,
    linear,
    make,
    padded,
    projected,
    softmax,
    some_features,
)

KNOBS = {"width": 6, "layers": 3, "heads": 3, "inner_width": 10}


def fused(fusion: Any, name: str, parts: list[Vector]) -> Vector:
    if name == "concat":
        return linear(fusion.map, np.concatenate(parts))
    weights = [1.0] * len(parts)
    if name == "gate":
        weights = softmax([float(linear(fusion.gate, part)[0]) for part in parts])
    return sum((w * part for w, part in zip(weights, parts, strict=True)), np.zeros(len(parts[0])))


@pytest.mark.parametrize("fusion", ["add", "concat", "gate"])
@pytest.mark.parametrize("modalities", [("image", "text"), ("text",), ()])
def test_vectors_equal_the_oracles(modalities: tuple[str, ...], fusion: str) -> None:
    def oracle(model: Any, features: dict[str, Any], row: list[int]) -> list[Vector]:
        x = [layer_norm(model.norm, exact(model.item.weight)[item]) for item in row]
        for layer, own in zip(model.layers, model.fusions, strict=True):
            mixed = []
            for place, item in enumerate(row):
                position = exact(model.position.weight)[place]
                parts = [x[place], position, *projected(model, features, item)]
                mixed.append(fused(own, fusion, parts))
            x = attention(layer, x, mixed)
        return x

    features = {name: f for name, f in some_features().items() if name in modalities}
    check(make("nova", Inputs(features), fusion=fusion, **KNOBS), oracle, features)


def test_side_information_changes_no_value() -> None:
    model = make("nova", **KNOBS)
    rows = padded([[4], [9], [17]])  # attention has but one thing to look at
    with torch.no_grad():
        before = model.user_vectors(rows)
        model.position.weight.add_(1.0)
        for map_ in model.features.maps:
            map_.weight.add_(1.0)
        after = model.user_vectors(rows)
        torch.testing.assert_close(before, after)

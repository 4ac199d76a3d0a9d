"""DIF-SR against loops in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from mmsr.models.make import make_model

from .common import (
    MAX_HISTORY,
    N_ITEMS,
    Inputs,
    Vector,
    check,
    config_of,
    exact,
    feed_forward,
    layer_norm,
    linear,
    make,
    projected,
    softmax,
    some_features,
)

KNOBS = {"width": 6, "attribute_width": 9, "layers": 2, "heads": 3, "inner_width": 10}
SUBSETS = pytest.mark.parametrize("modalities", [("image", "text"), ("text",), ()])


def chosen(modalities: tuple[str, ...]) -> dict[str, Any]:
    return {name: f for name, f in some_features().items() if name in modalities}


def fused(fusion: Any, name: str, rows: list[Vector]) -> Vector:
    """One query's scores, from a row of each source: MAX_HISTORY wide, 0 behind the query."""
    if name == "sum":
        return sum(rows, np.zeros(MAX_HISTORY))
    if name == "concat":
        return linear(fusion.map, np.concatenate(rows))
    energies = []
    for row in rows:
        hidden = np.maximum(linear(fusion.inner, row), 0.0)
        energies.append(float(linear(fusion.outer, hidden)[0]))
    pairs = zip(softmax(energies), rows, strict=True)
    return sum((weight * row for weight, row in pairs), np.zeros(MAX_HISTORY))


def layer_of(layer: Any, name: str, x: list[Vector], side: list[list[Vector]]) -> list[Vector]:
    heads, sources = layer.heads, [x, *side]
    d = len(x[0]) // heads
    values = [linear(layer.value, one) for one in x]
    new = []
    for i in range(len(x)):
        read = np.zeros(len(x[0]))
        for head in range(heads):
            rows = []
            for query, key, source in zip(layer.queries, layer.keys, sources, strict=True):
                own = len(source[0]) // heads
                part = slice(head * own, (head + 1) * own)
                row = np.zeros(MAX_HISTORY)
                for j in range(i + 1):
                    row[j] = linear(query, source[i])[part] @ linear(key, source[j])[part]
                rows.append(row)
            scores = fused(layer.fusion, name, rows)[: i + 1] / math.sqrt(d)
            part = slice(head * d, (head + 1) * d)
            for j, weight in enumerate(softmax(scores.tolist())):
                read[part] += weight * values[j][part]
        changed = layer_norm(layer.norm.norm, x[i] + linear(layer.output, read))
        new.append(feed_forward(layer.feed_forward, changed))
    return new


@pytest.mark.parametrize("fusion", ["sum", "concat", "gate"])
@SUBSETS
def test_vectors_equal_the_oracles(modalities: tuple[str, ...], fusion: str) -> None:
    def oracle(model: Any, features: dict[str, Any], row: list[int]) -> list[Vector]:
        x = [layer_norm(model.norm, exact(model.item.weight)[item]) for item in row]
        of_items = [projected(model, features, item) for item in row]
        side = [list(exact(model.position.weight)[: len(row)])]
        side += [[one[m] for one in of_items] for m in range(len(features))]
        for layer in model.layers:
            x = layer_of(layer, fusion, x, side)
        return x

    features = chosen(modalities)
    check(make("dif_sr", Inputs(features), fusion=fusion, **KNOBS), oracle, features)


@SUBSETS
def test_attribute_loss_equals_the_oracle(modalities: tuple[str, ...]) -> None:
    features = chosen(modalities)
    model = make("dif_sr", Inputs(features), attribute_loss=2.5, **KNOBS)
    users = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    targets = [3, 4, 7, 11, 4, 0, 11, 7, 22]  # items without one modality, without both, repeats
    found = model.auxiliary_loss(users, torch.tensor(targets))
    if not features:
        assert found is None
        return
    expected = 0.0
    for place, f in enumerate(features.values()):
        vectors = f.vectors.astype(np.float64)
        length = math.sqrt(sum(v @ v for v in vectors) / len(vectors))
        classes = {item for item in targets if f.links[item, 0] >= 0}
        losses = []
        for user, target in zip(exact(users), targets, strict=True):
            for item in classes if target in classes else ():
                predicted = linear(model.prediction.maps[place], user)
                logit = predicted @ vectors[f.links[item, 0]] / length
                logit += float(model.prediction.biases[place])
                chance = 1 / (1 + math.exp(-logit))
                losses.append(-math.log(chance if item == target else 1 - chance))
        expected += sum(losses) / len(losses)
    assert found is not None
    np.testing.assert_allclose(found.item(), 2.5 * expected, rtol=1e-5)


def test_attribute_loss_of_targets_without_features_is_nothing() -> None:
    model = make("dif_sr", **KNOBS)
    found = model.auxiliary_loss(torch.randn(2, 6), torch.tensor([7, 7]))
    assert found is not None
    assert found.item() == 0.0


def test_attribute_loss_can_be_switched_off() -> None:
    model = make("dif_sr", attribute_loss=0.0, **KNOBS)
    assert model.auxiliary_loss(torch.randn(2, 6), torch.tensor([1, 2])) is None
    assert not any("prediction" in name for name, _ in model.named_parameters())


def test_attribute_loss_teaches_what_comes_next() -> None:
    model = make_model(config_of("dif_sr", **KNOBS), Inputs())
    users = torch.eye(6)
    targets = torch.tensor([0, 1, 2, 5, 6, 8])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss = model.auxiliary_loss(users, targets)
        assert loss is not None
        torch.autograd.backward(loss)
        optimizer.step()
    with torch.no_grad():
        for place, name in enumerate(("image", "text")):
            predicted = model.prediction.maps[place](users)
            every = model.tables.vectors(name, torch.arange(N_ITEMS))[targets]
            assert (predicted @ every.T).argmax(dim=1).tolist() == list(range(6))


@pytest.mark.parametrize("key", ["width", "attribute_width"])
def test_heads_must_divide_both_widths(key: str) -> None:
    with pytest.raises(ValueError, match=rf"heads=3 does not divide model\.{key}=10"):
        config_of("dif_sr", **{**KNOBS, key: 10})

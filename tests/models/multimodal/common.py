"""Data of the tests, and the parts of the oracles: loops in float64 over one history at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmsr.config import Config
from mmsr.models.base import CausalRecommender
from mmsr.models.inputs import ItemFeatures
from mmsr.models.make import make_model

N_ITEMS, MAX_HISTORY = 23, 11
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
Vector = np.ndarray
"""float64 `[D]`."""


def some_features(seed: int = 0) -> dict[str, ItemFeatures]:
    """Two modalities of other widths and units; some items lack one, some both."""
    rng = np.random.default_rng(seed)
    features = {}
    for name, width, unit, lacking in (("image", 5, 30.0, (3, 7, 9)), ("text", 7, 0.2, (4, 7))):
        links = np.full((N_ITEMS, 1), -1, dtype=np.int64)
        there = [item for item in range(N_ITEMS) if item not in lacking]
        links[there, 0] = rng.permutation(len(there))
        vectors = unit * rng.normal(size=(len(there), width))
        features[name] = ItemFeatures(vectors.astype(np.float32), links)
    return features


@dataclass
class Inputs:
    """What a model may know: a catalogue and its features."""

    features: dict[str, ItemFeatures] = field(default_factory=some_features)
    n_items: int = N_ITEMS
    codes: dict[str, Any] = field(default_factory=dict)


def config_of(name: str, **knobs: Any) -> Config:
    tree = {"dataset": "x", "graph": {"max_history": MAX_HISTORY}, "model": {"name": name, **knobs}}
    return Config.from_dict(tree)


def make(name: str, inputs: Inputs | None = None, **knobs: Any) -> CausalRecommender:
    """A model with random values in every parameter, also where it starts with zeros or ones."""
    model = make_model(config_of(name, **knobs), inputs or Inputs())
    assert isinstance(model, CausalRecommender)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4, generator=generator)
    return model.eval()


def histories(seed: int = 0) -> list[list[int]]:
    """Of several lengths, the longest one and one item included; items without modalities, too."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, N_ITEMS, length).tolist() for length in (1, 2, 6, MAX_HISTORY)]
    return [*rows, [7], [3, 4, 7, 7, 0, 9, 12, 3]]


def padded(rows: Sequence[Sequence[int]], extra: int = 0) -> Tensor:
    width = max(map(len, rows)) + extra
    return torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows])


def exact(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def linear(layer: nn.Module, x: Vector) -> Vector:
    """Number by number."""
    weight, bias = exact(layer.weight), layer.bias
    y = np.zeros(len(weight))
    for row in range(len(weight)):
        for column in range(len(x)):
            y[row] += weight[row, column] * x[column]
    return y if bias is None else y + exact(bias)


def layer_norm(layer: nn.Module, x: np.ndarray) -> np.ndarray:
    """Over all of `x`."""
    variance = ((x - x.mean()) ** 2).mean()
    scaled = (x - x.mean()) / math.sqrt(variance + 1e-12)
    return scaled * exact(layer.weight) + exact(layer.bias)


def gelu(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.ravel()]).reshape(
        x.shape
    )


def softmax(scores: Sequence[float]) -> list[float]:
    raised = [math.exp(score - max(scores)) for score in scores]
    return [value / sum(raised) for value in raised]


def feed_forward(layer: nn.Module, x: Vector) -> Vector:
    return layer_norm(layer.norm.norm, x + linear(layer.outer, gelu(linear(layer.inner, x))))


def projected(model: Any, features: dict[str, ItemFeatures], item: int) -> list[Vector]:
    """An item's features, each over its modality's root mean square length, and mapped."""
    found = []
    for map_, f in zip(model.features.maps, features.values(), strict=True):
        vectors = f.vectors.astype(np.float64)
        length = math.sqrt(sum(v @ v for v in vectors) / len(vectors))
        row = int(f.links[item, 0])
        x = np.zeros(vectors.shape[1]) if row < 0 else vectors[row] / length
        found.append(linear(map_, x))
    return found


def attention(layer: Any, x: list[Vector], fused: list[Vector]) -> list[Vector]:
    """A transformer layer: head by head, position by position."""
    heads = layer.heads
    d = len(x[0]) // heads
    queries = [linear(layer.query, one) for one in fused]
    keys = [linear(layer.key, one) for one in fused]
    values = [linear(layer.value, one) for one in x]
    new = []
    for i, query in enumerate(queries):
        read = np.zeros(len(x[0]))
        for head in range(heads):
            part = slice(head * d, (head + 1) * d)
            scores = [query[part] @ keys[j][part] / math.sqrt(d) for j in range(i + 1)]
            for j, weight in enumerate(softmax(scores)):
                read[part] += weight * values[j][part]
        changed = layer_norm(layer.norm.norm, x[i] + linear(layer.output, read))
        new.append(feed_forward(layer.feed_forward, changed))
    return new


def check(model: Any, oracle: Any, features: dict[str, ItemFeatures]) -> None:
    """Hold all positions of all histories against an oracle."""
    rows = histories()
    with torch.no_grad():
        vectors_BLD = model.sequence_vectors(padded(rows, extra=0)).numpy()
    for row, vectors in zip(rows, vectors_BLD, strict=True):
        for place, expected in enumerate(oracle(model, features, row)):
            np.testing.assert_allclose(vectors[place], expected, **TOLERANCE)

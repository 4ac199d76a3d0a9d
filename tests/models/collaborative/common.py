"""A small shop, models of it in float64, and their weights by the oracles' names.

User 4 and item 8 have no interaction, one pair is there three times, and items lack either
modality or both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmsr.config import Config
from mmsr.models.base import CollaborativeRecommender
from mmsr.models.inputs import Interactions, ItemFeatures
from mmsr.models.make import make_model

from .oracles import Bipartite

N_USERS, N_ITEMS = 6, 9
PAIRS = [
    *((0, 0), (0, 1), (0, 5), (1, 1), (1, 2), (1, 1), (1, 1), (2, 3)),
    *((2, 0), (2, 6), (3, 4), (3, 7), (3, 5), (3, 1), (5, 6)),
]
GRAPH = Bipartite(N_USERS, N_ITEMS, PAIRS)
EXACT = {"atol": 1e-9, "rtol": 1e-9}
LACKING = {"image": (3, 7), "text": (1, 7, 8)}
FIRST_WIDTH = {"image": 5, "text": 3}


def some_features() -> dict[str, ItemFeatures]:
    """Quarters of small whole numbers: float32 has their squares exactly."""
    rng = np.random.default_rng(5)
    features = {}
    for name, width in FIRST_WIDTH.items():
        there = [item for item in range(N_ITEMS) if item not in LACKING[name]]
        links = np.full((N_ITEMS, 1), -1, dtype=np.int64)
        links[there, 0] = rng.permutation(len(there))
        vectors = rng.integers(-20, 20, (len(there), width)) / 4
        features[name] = ItemFeatures(vectors.astype(np.float32), links)
    return features


def some_interactions() -> Interactions:
    pairs = np.random.default_rng(1).permutation(np.array(PAIRS))
    return Interactions(N_USERS, pairs[:, 0], pairs[:, 1])


@dataclass
class Inputs:
    features: dict[str, ItemFeatures] = field(default_factory=some_features)
    interactions: Interactions = field(default_factory=some_interactions)
    n_items: int = N_ITEMS
    codes: dict[str, Any] = field(default_factory=dict)


def some_edges() -> Tensor:
    """Distinct pairs in both directions, int64 `[2, E]`, as torch-geometric takes them."""
    users, items = torch.tensor(sorted(set(PAIRS))).T
    items = items + N_USERS
    return torch.stack([torch.cat([users, items]), torch.cat([items, users])])


def config_of(name: str, **knobs: Any) -> Config:
    return Config.from_dict({"dataset": "x", "model": {"name": name, **knobs}})


def make(name: str, inputs: Inputs | None = None, **knobs: Any) -> Any:
    """A model in float64 with random values in every parameter, also in biases."""
    model = make_model(config_of(name, **knobs), inputs or Inputs()).double()
    assert isinstance(model, CollaborativeRecommender)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return model.eval()


def scaled_features(lost: dict[str, tuple[int, ...]] | None = None) -> dict[str, Tensor]:
    """Features of all items `[I, F]`, divided by the root mean square length; zeros for none.

    Parameters
    ----------
    lost : items that lose a modality, besides those that lack it.
    """
    found = {}
    for name, features in some_features().items():
        vectors = features.vectors.astype(np.float64)
        vectors /= np.sqrt(np.mean(np.sum(vectors * vectors, axis=1)))
        rows = np.zeros((N_ITEMS, vectors.shape[1]))
        for item, (row,) in enumerate(features.links):
            if row >= 0 and item not in (lost or {}).get(name, ()):
                rows[item] = vectors[row]
        found[name] = torch.from_numpy(rows)
    return found


def channel_weights(model: Any) -> dict[str, Tensor]:
    """Weights of MMGCN or MGAT; those of the model itself, so that gradients reach them."""
    weights = {"ids": model.ids}
    for name, nodes, layers in zip(model.tables.modalities, model.nodes, model.layers, strict=True):
        weights |= _affine(f"{name}.map", nodes.map.linear)
        weights[f"{name}.preferences"] = nodes.preferences
        for place, layer in enumerate(layers):
            at = f"{name}.{place}"
            weights[f"{at}.message"] = layer.read.map.weight
            weights |= _affine(f"{at}.own", layer.own) | _affine(f"{at}.combine", layer.combine.map)
            if hasattr(layer.read, "bias"):
                weights[f"{at}.bias"] = layer.read.bias
    return weights


def bm3_weights(model: Any) -> dict[str, Tensor]:
    weights = {"users": model.users, "items": model.items}
    weights |= _affine("predictor", model.predictor)
    for name, map_ in zip(model.tables.modalities, model.maps, strict=True):
        weights |= _affine(f"{name}.map", map_.linear)
    return weights


def vectors_of(model: Any) -> tuple[Tensor, Tensor]:
    """What a study compares: vectors of all users and of all items."""
    return model.user_vectors(torch.arange(N_USERS)), model.item_vectors()


def assert_same(model: Any, found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    """Same values, and same gradients of a random combination of them in every parameter."""
    assert all(x.dtype == torch.float64 for x in found)
    torch.testing.assert_close(found, expected, **EXACT)
    generator = torch.Generator().manual_seed(2)
    mixed = [torch.randn(x.shape, generator=generator) for x in found]
    gradients = []
    for vectors in (found, expected):
        total = sum((x * y).sum() for x, y in zip(vectors, mixed, strict=True))
        gradients.append(gradients_of(total, *model.parameters()))
    for (name, _), one, other in zip(model.named_parameters(), *gradients, strict=True):
        torch.testing.assert_close(one, other, **EXACT, msg=lambda m, name=name: f"{name}: {m}")


def gradients_of(value: Tensor, *parameters: Tensor) -> list[Tensor]:
    """Gradients of a scalar; zeros where a parameter plays no role."""
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if x is None else x for p, x in zip(parameters, found, strict=True)]


def _affine(name: str, linear: Any) -> dict[str, Tensor]:
    return {f"{name}.weight": linear.weight, f"{name}.bias": linear.bias}

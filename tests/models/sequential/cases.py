"""Small models of ids, and the histories that they are tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mmsr.config import Config
from mmsr.models.base import SequentialRecommender
from mmsr.models.make import make_model

N_ITEMS, MAX_HISTORY = 30, 12


@dataclass(frozen=True)
class Ids:
    """Inputs of a model of ids alone."""

    n_items: int = N_ITEMS
    codes: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)


def make(name: str, seed: int = 0, **knobs: Any) -> SequentialRecommender:
    """A model in evaluation mode, as it is drawn."""
    values = {"dataset": "x", "seed": seed, "graph": {"max_history": MAX_HISTORY}}
    config = Config.from_dict({**values, "model": {"name": name, **knobs}})
    return make_model(config, Ids()).eval()


def exact(model: Any, scale: float = 0.4) -> Any:
    """The model in float64, with random values in every parameter, also where it starts with zeros
    or ones."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model


def padded(rows: list[list[int]], extra: int = 0) -> torch.Tensor:
    width = max(map(len, rows)) + extra
    return torch.tensor([row + [-1] * (width - len(row)) for row in rows])


ROWS = [
    [3],
    [5, 5],
    [0, 8, 29],
    [4, 7, 4, 4, 9, 7, 2],
    [11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
    [1, 2, 1, 2, 1, 3, 2, 1, 29, 0, 6, 1],
]
"""Histories of several lengths, one of them the longest that there may be; some items repeat."""

"""Every model there is, from the registry and the configs: nothing is named here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from mmsr.config import Config, MmsrConfig
from mmsr.config.mmsr import AggregatorConfig
from mmsr.graph.codes import ModalityCodes
from mmsr.models.mmsr.model import FUSIONS, MMSR
from mmsr.models.mmsr.registry import READOUTS

N_ITEMS, WIDTH = 30, 8
Layer = dict[str, Any]
CONFIGS = {
    config.model_fields["name"].default: config
    for config in get_args(get_args(AggregatorConfig)[0])
}


def other_values(key: str, annotation: Any, default: Any) -> list[Any]:
    """Values of a knob that make another layer; dropout does so in training alone."""
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if value != default]
    if annotation is bool:
        return [not default]
    if annotation is int:
        return [2]
    return [] if key == "dropout" else [0.4, 0.0]


def layers_of(name: str) -> Iterator[Layer]:
    """An aggregator as it is by default, and with each of its knobs at each other value."""
    yield {"name": name}
    for key, field in CONFIGS[name].model_fields.items():
        if key != "name":
            for value in other_values(key, field.annotation, field.default):
                yield {"name": name, key: value}


LAYERS = [layer for name in CONFIGS for layer in layers_of(name)]


def model_config(layer: Layer, fusion: str, readout: str, depth: int) -> MmsrConfig:
    return MmsrConfig(
        width=WIDTH, fusion=fusion, readout=readout, layers=depth, aggregator=layer, last_n=2
    )


def name_of(layer: Layer, *others: object) -> str:
    knobs = [f"{key}={value}" for key, value in layer.items() if key != "name"]
    return "-".join(map(str, (layer["name"], *knobs, *others)))


def _variants() -> Iterator[tuple[Layer, str, str, int]]:
    """Aggregators with every fusion, readout and depth; knobs with two layers, that is both ways
    of calling one, and with many queries; fusions with every readout."""
    for layer in LAYERS:
        if len(layer) > 1:
            yield layer, "adaptive", "last", 2
            yield layer, "adaptive", "mean", 1
            continue
        for fusion in FUSIONS:
            yield layer, fusion, "last", 1
        for readout in READOUTS:
            yield layer, "adaptive", readout, 3
    for fusion in FUSIONS:
        for readout in READOUTS:
            yield LAYERS[0], fusion, readout, 2


VARIANTS = [pytest.param(*variant, id=name_of(*variant)) for variant in _variants()]
every_variant = pytest.mark.parametrize(("layer", "fusion", "readout", "depth"), VARIANTS)


def some_codes(seed: int = 0) -> dict[str, ModalityCodes]:
    rng = np.random.default_rng(seed)
    codes = {}
    for name, n_codes, k in (("image", 5, 2), ("text", 6, 3)):
        links = np.stack([rng.permutation(n_codes)[:k] for _ in range(N_ITEMS)])
        links[rng.random(N_ITEMS) < 0.2] = -1
        codes[name] = ModalityCodes(links, rng.normal(size=(n_codes, 4)).astype(np.float32))
    return codes


def make(
    layer: Layer, fusion: str, readout: str, depth: int, codes: Any = None, seed: int = 0
) -> MMSR:
    torch.manual_seed(seed)
    config = Config(dataset="x", model=model_config(layer, fusion, readout, depth))
    return MMSR(config, N_ITEMS, some_codes() if codes is None else codes)


def shaken(model: torch.nn.Module, scale: float = 0.4) -> Any:
    """The model with random values in every parameter, also where it starts with zeros."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=scale)
    return model


def histories(seed: int = 0) -> list[list[int]]:
    """Of several lengths; repeats make steps in both directions."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, N_ITEMS, length).tolist() for length in (1, 2, 5, 9, 3)]
    return [*rows, [4, 7, 4, 4, 9, 7, 2]]


def padded(rows: list[list[int]], extra: int = 0) -> torch.Tensor:
    width = max(map(len, rows)) + extra
    return torch.tensor([row + [-1] * (width - len(row)) for row in rows])

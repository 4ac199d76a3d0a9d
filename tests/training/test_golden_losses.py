"""Loss curves recorded once: whatever makes training faster must leave them as they are.

`python tests/training/test_golden_losses.py` records them anew, which only a change of the model's
mathematics justifies.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmsr.config import Config
from mmsr.graph.codes import ModalityCodes
from mmsr.models.mmsr.model import MMSR
from mmsr.training.step import new_optimizer, train_step

GOLDEN = Path(__file__).parent.parent / "assets" / "losses.json"
TOLERANCE = 1e-4
"""Relative; sums in another order move the last digits of fp32, and 30 steps let that grow."""
STEPS, BATCH, N_ITEMS = 30, 16, 60
SETTINGS = {
    "training.learning_rate": 0.01,
    "model.width": 16,
    "model.dropout": 0.0,
    "model.input_dropout": 0.0,
    "model.aggregator.dropout": 0.0,
    "model.aggregator.scaled": False,
    "model.aggregator.share_qkv": True,
}
CURVES: dict[str, dict[str, Any]] = {
    "gated": {},
    "scaled": {"model.aggregator.scaled": True},
    "own_qkv": {"model.aggregator.share_qkv": False},
    "two_layers": {"model.layers": 2, "model.readout": "mean"},
    "synchronous": {"model.aggregator.order": "synchronous"},
    "hohe": {"model.aggregator.order": "hohe"},
    "heho": {"model.aggregator.order": "heho"},
    "early": {"model.fusion": "early"},
    "late": {"model.fusion": "late"},
    "smoothed": {"training.label_smoothing": 0.1},
}


def curve(settings: dict[str, Any]) -> list[float]:
    """Losses of a few steps; nothing in here draws from torch's generator."""
    rng = np.random.default_rng(5)
    config = Config(dataset="x").replace({**SETTINGS, **settings})
    model = MMSR(config, N_ITEMS, _codes(rng)).train()
    with torch.no_grad():
        for parameter in model.parameters():
            values = rng.normal(scale=0.25, size=tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values))
    optimizer = new_optimizer(config, model)
    batches = [_batch(rng) for _ in range(3)]
    return [
        train_step(model, optimizer, *batches[step % len(batches)], config).item()
        for step in range(STEPS)
    ]


def _batch(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = rng.integers(1, 12, BATCH)
    rows = rng.integers(0, N_ITEMS, (BATCH, lengths.max()))
    rows[np.arange(rows.shape[1]) >= lengths[:, None]] = -1
    return torch.from_numpy(rows), torch.from_numpy(rng.integers(0, N_ITEMS, BATCH))


def _codes(rng: np.random.Generator) -> dict[str, ModalityCodes]:
    found = {}
    for name, n_codes, k in (("image", 7, 2), ("text", 8, 3)):
        links = np.stack([rng.permutation(n_codes)[:k] for _ in range(N_ITEMS)])
        links[rng.random(N_ITEMS) < 0.1] = -1
        found[name] = ModalityCodes(links, rng.normal(size=(n_codes, 8)).astype(np.float32))
    return found


@pytest.mark.parametrize("name", CURVES)
def test_losses_are_as_recorded(name: str) -> None:
    torch.set_num_threads(1)
    recorded = json.loads(GOLDEN.read_text())[name]
    assert recorded[-1] < 0.8 * recorded[0]
    np.testing.assert_allclose(curve(CURVES[name]), recorded, rtol=TOLERANCE)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: curve(s) for name, s in CURVES.items()}, indent=1) + "\n")

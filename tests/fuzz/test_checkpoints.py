"""Checkpoints that are damaged or do not fit are refused, and leave no half-loaded run behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from mmsr.config import Config
from mmsr.training import checkpoint

from .harness import plain, refused, texts

MODEL = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))


def stepped() -> torch.optim.Optimizer:
    """An optimizer with a state."""
    optimizer = torch.optim.AdamW(MODEL.parameters())
    MODEL(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return optimizer


OPTIMIZER = stepped()
STATE = {
    "epoch": 2,
    "metrics": {"valid/mrr@20": 0.1},
    "best_epoch": 1,
    "best_metrics": {"valid/mrr@20": 0.2},
    "finished": False,
    "part": "train",
    "config": Config(dataset="shop").to_dict(),
    "dataset_hash": "abc",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint; tests replace its files one at a time."""
    place = tmp_path_factory.mktemp("checkpoint") / "run"
    state = checkpoint.CheckpointState.model_validate(STATE)
    checkpoint.write_checkpoint(place, state, MODEL, OPTIMIZER, MODEL.state_dict())
    return place


class Data:
    """A data set as far as a checkpoint's check looks at it."""

    name, content_hash = "shop", "abc"


def read_state(folder: Path) -> None:
    checkpoint.check_resumable(folder, Config(dataset="shop"), Data(), "train")


damage = st.tuples(st.floats(0, 1), st.integers(0, 60), st.binary(max_size=12))


def damaged(data: bytes, how: tuple[float, int, bytes]) -> bytes:
    start, length, other = int(how[0] * len(data)), how[1], how[2]
    return data[:start] + other + data[start + length :]


@settings(max_examples=500)
@given(damage)
def test_damaged_states(folder, how):
    data = json.dumps(STATE).encode()
    (folder / checkpoint.STATE).write_bytes(damaged(data, how))
    refused(read_state, folder)


@settings(max_examples=500)
@given(st.dictionaries(st.sampled_from(sorted(STATE)) | texts, plain, max_size=2))
@example({"best_metrics": {}})
@example({"config": {}})
def test_states_of_others(folder, changes):
    try:
        text = json.dumps({**STATE, **changes})
    except ValueError:  # a whole number of more digits than Python writes
        return
    (folder / checkpoint.STATE).write_bytes(text.encode())
    refused(read_state, folder)


@settings(max_examples=500)
@given(st.sampled_from([checkpoint.MODEL, checkpoint.OPTIMIZER]), damage)
@example(checkpoint.MODEL, (0.5, 10**6, b""))
def test_damaged_tensors(folder, name, how):
    whole = (folder / name).read_bytes()
    try:
        (folder / name).write_bytes(damaged(whole, how))
        if name == checkpoint.MODEL:
            refused(checkpoint.load_model, folder, name, MODEL)
        else:
            refused(checkpoint.load_optimizer, folder, OPTIMIZER)
    finally:
        (folder / name).write_bytes(whole)


shapes = st.lists(st.integers(0, 3), max_size=3)
weights = st.sampled_from(
    ["0.weight", "0.bias", "1.weight", "1.bias", "weight", "0.exp_avg", "x", "9.step", "-1.exp_avg"]
)


@settings(max_examples=500)
@given(st.dictionaries(weights, shapes, max_size=4), st.sampled_from([torch.float32, torch.int8]))
def test_tensors_of_other_models(folder, tensors, kind):
    data = save({name: torch.zeros(shape, dtype=kind) for name, shape in tensors.items()})
    (folder / "other.safetensors").write_bytes(data)
    told = refused(checkpoint.load_model, folder, "other.safetensors", MODEL)
    assert told is not None or set(tensors) == set(MODEL.state_dict())


@settings(max_examples=300)
@given(st.dictionaries(weights, shapes, max_size=4))
def test_states_of_other_optimizers(folder, tensors):
    whole = (folder / checkpoint.OPTIMIZER).read_bytes()
    try:
        data = save({name: torch.zeros(shape) for name, shape in tensors.items()})
        (folder / checkpoint.OPTIMIZER).write_bytes(data)
        assert refused(checkpoint.load_optimizer, folder, OPTIMIZER) is not None
    finally:
        (folder / checkpoint.OPTIMIZER).write_bytes(whole)

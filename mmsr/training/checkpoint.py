"""Checkpoints: safetensors for arrays, JSON for the rest; nothing is ever unpickled.

A checkpoint folder holds

- `state.json`: epoch, metrics, best epoch, the config and the data set's hash,
- `model.safetensors`, `optimizer.safetensors`: what the next epoch continues from,
- `best.safetensors`: the model of the best epoch so far.

Random numbers need no state: every epoch seeds its own from the config's seed and its number.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError

STATE, MODEL, OPTIMIZER, BEST = (
    "state.json",
    "model.safetensors",
    "optimizer.safetensors",
    "best.safetensors",
)


class CheckpointState(BaseModel):
    """What `state.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    metrics: dict[str, float]
    best_epoch: int
    best_metrics: dict[str, float]
    finished: bool
    part: str
    config: dict[str, Any]
    dataset_hash: str


def write_checkpoint(
    folder: Path,
    state: CheckpointState,
    model: nn.Module,
    optimizer: Optimizer,
    best: Mapping[str, Tensor],
) -> None:
    """Write a checkpoint so that the folder holds either all of it or nothing.

    An older checkpoint in `folder` is replaced.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        save_file(_contiguous(model.state_dict()), partial / MODEL)
        save_file(_contiguous(best), partial / BEST)
        save_file(_optimizer_tensors(optimizer), partial / OPTIMIZER)
        (partial / STATE).write_text(state.model_dump_json(indent=2))
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_checkpoint_state(folder: Path) -> CheckpointState:
    """Read `state.json`.

    Raises
    ------
    UserError : there is no checkpoint in the folder, or it is damaged.
    """
    try:
        return CheckpointState.model_validate_json((folder / STATE).read_text())
    except OSError as error:
        raise UserError(f"no checkpoint in {str(folder)!r}: {error.strerror}") from None
    except ValidationError:
        raise UserError(
            f"checkpoint {str(folder)!r} is damaged: {STATE} cannot be read; use an older one"
        ) from None


def check_resumable(folder: Path, config: Config, dataset: Dataset, part: str) -> CheckpointState:
    """State of a checkpoint that belongs to this config, data set and part.

    Raises
    ------
    UserError : it belongs to another run; continuing would mix two.
    """
    state = read_checkpoint_state(folder)
    theirs = Config.from_dict(state.config, source=str(folder / STATE)).flat()
    for key, ours in config.flat().items():
        if theirs[key] != ours:
            raise UserError(
                f"checkpoint {str(folder)!r} was made with {key}={theirs[key]!r}, not {ours!r}: "
                "resume with the same config, or start afresh in another folder"
            )
    if (state.dataset_hash, state.part) != (dataset.content_hash, part):
        raise UserError(
            f"checkpoint {str(folder)!r} was made on other data than {dataset.name!r} holds now: "
            "start afresh in another folder"
        )
    return state


def load_model(folder: Path, name: str, model: nn.Module) -> None:
    """Load the weights `name` (`MODEL` or `BEST`) of a checkpoint into a model."""
    model.load_state_dict(_load(folder / name))


def load_optimizer(folder: Path, optimizer: Optimizer) -> None:
    """Load the optimizer's state of a checkpoint."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _load(folder / OPTIMIZER).items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"checkpoint file {str(path)!r} cannot be read: {error}") from None


def _optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}.{key}": value
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}

"""Checkpoints: safetensors for arrays, JSON for the rest; nothing is ever unpickled.

A checkpoint folder holds

- `state.json`: epoch, metrics, best epoch, the config and the data set's hash,
- `model.safetensors`, `optimizer.safetensors`, `average.safetensors` (where weights are
  averaged): what the next epoch continues from,
- `best.safetensors`: the model of the best epoch so far.

Random numbers need no state: every epoch seeds its own from the config's seed and its number.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from mmsr.config import Config
from mmsr.data import Dataset, Part
from mmsr.errors import UserError, reason_of, shown, system_error
from mmsr.models.weights import load_weights
from mmsr.numbers import alike
from mmsr.paths import shared_as_usual

STATE, MODEL, BEST = "state.json", "model.safetensors", "best.safetensors"
OPTIMIZER, AVERAGE = "optimizer.safetensors", "average.safetensors"
_FILES = {STATE, MODEL, OPTIMIZER, AVERAGE, BEST}


class CheckpointState(BaseModel):
    """What `state.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int = Field(ge=1)
    metrics: dict[str, float]
    best_epoch: int = Field(ge=1)
    best_metrics: dict[str, float]
    finished: bool
    part: Part
    config: dict[str, Any]
    dataset_hash: str


def write_checkpoint(
    folder: Path,
    state: CheckpointState,
    model: nn.Module,
    optimizer: Optimizer,
    best: Mapping[str, Tensor],
    average: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint completely, in place of an older one, or leave the folder as it was.

    Parameters
    ----------
    folder : where to write it; it is made where it is missing.
    state : what goes into `state.json`.
    model : the model after the newest epoch, not averaged.
    optimizer : the optimizer after the newest epoch.
    best : weights of the best epoch, by name.
    average : state of the running average (`WeightAverage.state_dict`); None where there is none.

    Raises
    ------
    UserError : the folder holds something else (see `check_place`).
    OSError : it cannot be written.
    """
    folder = folder.resolve()
    check_place(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        tensors = {MODEL: model.state_dict(), BEST: best, OPTIMIZER: _optimizer_tensors(optimizer)}
        tensors |= {} if average is None else {AVERAGE: average}
        with shared_as_usual(*(partial / name for name in tensors)):
            for name, named in tensors.items():
                save_file(_contiguous(named), partial / name)
        (partial / STATE).write_text(state.model_dump_json(indent=2), encoding="utf-8")
        _put_in_place(partial, folder)
    except SafetensorError as error:
        raise system_error(error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _tidy(folder)


def check_place(folder: Path) -> None:
    """Refuse a folder that holds anything but a checkpoint: writing there would destroy it.

    Parameters
    ----------
    folder : where a checkpoint is to be written; it may be missing.

    Raises
    ------
    UserError : it is a file, or holds other files.
    OSError : its files cannot be listed.
    """
    if folder.is_file():
        raise UserError(f"{str(folder)!r} is a file: name a folder for the checkpoint")
    there = folder.iterdir() if folder.exists() else ()
    if strange := sorted(path.name for path in there if path.name not in _FILES):
        raise UserError(
            f"{str(folder)!r} holds other things than a checkpoint ({strange[0]!r}): name another"
        )


def holds_checkpoint(folder: Path) -> bool:
    """Whether the folder holds a checkpoint.

    If a process was killed while it replaced the checkpoint, the old one is restored first.

    Parameters
    ----------
    folder : folder of the checkpoint; it may be missing.
    """
    _tidy(folder.resolve())
    return (folder / STATE).exists()


def _put_in_place(new: Path, folder: Path) -> None:
    """Replace a checkpoint; again, where a reader has restored the old one meanwhile."""
    if folder.exists():
        folder.rename(_set_aside(folder))
    try:
        new.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        _put_in_place(new, folder)


def _tidy(folder: Path) -> None:
    """Remove the old checkpoint if the new one is in place; restore it if not."""
    old = _set_aside(folder)
    if not old.exists():  # looked at first: what is set aside later may be the only one
        return
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        return
    with suppress(OSError):  # its writer may be alive, and just have put the new one in place
        old.rename(folder)


def _set_aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old-checkpoint")


def read_checkpoint_state(folder: Path) -> CheckpointState:
    """Read the `state.json` of a checkpoint.

    Parameters
    ----------
    folder : folder of the checkpoint.

    Raises
    ------
    UserError : there is no checkpoint in the folder, or it is damaged.
    """
    try:
        return CheckpointState.model_validate_json((folder / STATE).read_bytes())
    except OSError as error:
        raise UserError(f"no checkpoint in {str(folder)!r}: {reason_of(error)}") from None
    except ValidationError:
        raise _damaged(folder) from None


def _damaged(folder: Path) -> UserError:
    return UserError(
        f"checkpoint {str(folder)!r} is damaged: {STATE} cannot be read; use an older one"
    )


def check_resumable(folder: Path, config: Config, dataset: Dataset, part: str) -> CheckpointState:
    """Check that a checkpoint belongs to this config, data set and part.

    Parameters
    ----------
    folder : folder of the checkpoint.
    config, dataset : what is to be trained, and on what.
    part : `train` or `development`, as for `mmsr.training.train`.

    Returns
    -------
    The checkpoint's state.

    Raises
    ------
    UserError : it belongs to another run; continuing would mix two.
    """
    state = read_checkpoint_state(folder)
    theirs = Config.from_stored(state.config, source=str(folder / STATE)).flat()
    for key, ours in config.flat().items():
        if not alike(other := theirs.get(key), ours):
            raise UserError(
                f"checkpoint {str(folder)!r} was made with {key}={shown(other)}, not {ours!r}: "
                "resume with the same config, or start afresh in another folder"
            )
    if (state.dataset_hash, state.part) != (dataset.content_hash, part):
        raise UserError(
            f"checkpoint {str(folder)!r} was made on other data than {dataset.name!r} holds now: "
            "start afresh in another folder"
        )
    if part == "train" and config.training.select_by not in state.best_metrics:
        raise _damaged(folder)
    return state


def load_model(folder: Path, name: str, model: nn.Module) -> None:
    """Load the weights in a checkpoint into a model.

    Parameters
    ----------
    folder : folder of the checkpoint.
    name : which weights: `MODEL` (the newest epoch's) or `BEST` (the best epoch's).
    model : changed in place.

    Raises
    ------
    UserError : the file is missing or damaged, or it holds another model's weights.
    """
    load_into(folder / name, lambda weights: load_weights(model, weights))


def load_optimizer(folder: Path, optimizer: Optimizer) -> None:
    """Load the optimizer's state in a checkpoint.

    Parameters
    ----------
    folder : folder of the checkpoint.
    optimizer : changed in place; it must have the same parameters in the same order.

    Raises
    ------
    UserError : the file is missing or damaged, or it holds another model's state.
    """
    parameters = [one for group in optimizer.param_groups for one in group["params"]]

    def load(tensors: Mapping[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, _, key = name.partition(".")
            if tensor.ndim and tensor.shape != parameters[int(index)].shape:
                raise ValueError(f"{name} has shape {list(tensor.shape)}")
            state.setdefault(int(index), {})[key] = tensor
        if len(state) != len(parameters) or len(set(map(frozenset, state.values()))) > 1:
            raise ValueError("some parameters lack their state")
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    load_into(folder / OPTIMIZER, load)


def load_into(path: Path, load: Callable[[dict[str, Tensor]], None]) -> None:
    """Read one of a checkpoint's files, and load what it holds.

    Parameters
    ----------
    path : a safetensors file.
    load : gets the tensors by name, on the CPU; raises if they do not fit.

    Raises
    ------
    UserError : the file is missing or damaged, or its tensors do not fit.
    """
    try:
        load(load_file(path))
    except (OSError, SafetensorError) as error:
        raise UserError(f"checkpoint file {str(path)!r} cannot be read: {error}") from None
    except (RuntimeError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"checkpoint file {str(path)!r} does not fit the model: {error}; start afresh elsewhere"
        ) from None


def _optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}.{key}": value
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}

"""The parts of a training run: model, optimizer, device, and the step that uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from mmsr.config import Config
from mmsr.data import Dataset, Part
from mmsr.errors import UserError
from mmsr.models.base import CausalRecommender, Recommender
from mmsr.models.inputs import DatasetInputs
from mmsr.models.make import make_model
from mmsr.models.products import products_in
from mmsr.training import checkpoint
from mmsr.training.losses.make import Loss, make_loss
from mmsr.training.modality_dropout import modality_dropout

Found = TypeVar("Found")
_READS = 10
"""How often a checkpoint is read that is saved meanwhile, before it is given up."""


def train_step(
    model: Recommender,
    optimizer: torch.optim.Optimizer,
    given: Tensor,
    targets: Tensor,
    config: Config,
    loss: Loss | None = None,
) -> Tensor:
    """Make one optimisation step.

    Parameters
    ----------
    model, optimizer : changed in place.
    given : what user vectors are made of, on the model's device: histories, int64 `[B, L]`, oldest
        first, -1 behind the end; for a `CollaborativeRecommender` users, int64 `[B]`.
    targets : int64 `[B]`, item index of each target; of a `CausalRecommender`, `[B, L]`: the target
        that follows each item, -1 where there is none.
    config : its `training` part is used.
    loss : what is minimised; None stands for the config's, with negatives drawn from all items
        alike.

    Returns
    -------
    The mean loss of the batch, a scalar.
    """
    settings = config.training
    optimizer.zero_grad(set_to_none=True)  # first: the forward pass reuses their memory
    with (
        modality_dropout(model.tables, settings.modality_dropout),
        products_in(torch.bfloat16 if settings.bf16 else torch.float32),
        model.prepared(),
    ):
        compute = loss or make_loss(settings)
        if compute is None:
            value = model.own_loss(given, targets)
        else:
            value = _compared(model, given, targets, compute)
    torch.autograd.backward(value)
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
    optimizer.step()
    return value.detach()


def _compared(model: Recommender, given: Tensor, targets: Tensor, loss: Loss) -> Tensor:
    """A loss that compares user vectors with items, and what the model adds to it."""
    if isinstance(model, CausalRecommender):
        is_target_BL = targets >= 0
        users_ND = model.sequence_vectors(given)[is_target_BL]
        targets = targets[is_target_BL]
    else:
        users_ND = model.user_vectors(given)
    value = loss(model, users_ND, targets)
    more = model.auxiliary_loss(users_ND, targets)
    return value if more is None else value + more


def new_model(config: Config, dataset: Dataset, part: Part = "train") -> Recommender:
    """Make a config's model on the CPU, its weights drawn by the config's seed.

    Parameters
    ----------
    config : what the model is made from.
    dataset : the data set to train on; its codes come from the cache where they are known.
    part : what of it.

    Raises
    ------
    UserError : bad graph settings, or the cache cannot be used; see `modality_codes`.
    """
    return make_model(config, DatasetInputs(dataset, config.graph, part))


def new_optimizer(config: Config, model: Recommender) -> torch.optim.Optimizer:
    """Make the optimizer: fused Adam with decoupled weight decay.

    Parameters
    ----------
    config : its learning rate and weight decay are used.
    model : all of its parameters are trained.
    """
    return torch.optim.AdamW(
        model.parameters(),
        lr=config.training.learning_rate,
        weight_decay=config.training.weight_decay,
        fused=True,
    )


def load_best_model(
    folder: Path, config: Config, dataset: Dataset, weights: str = checkpoint.BEST
) -> Recommender:
    """Load the model of a checkpoint's best epoch, on the CPU.

    Parameters
    ----------
    folder : folder of the checkpoint.
    config, dataset : those of the checkpoint.
    weights : name of the file of the weights, for a checkpoint that holds other models, too.

    Raises
    ------
    UserError : the weights are missing or damaged.
    """
    part = checkpoint.read_checkpoint_state(folder).part
    model = new_model(config, dataset, part)
    checkpoint.load_model(folder, weights, model)
    return model


def read_checkpoint(
    folder: Path, read: Callable[[checkpoint.CheckpointState], Found]
) -> tuple[checkpoint.CheckpointState, Found]:
    """Read a checkpoint whose training may be going on, so that all is of one save.

    Parameters
    ----------
    folder : folder of the checkpoint.
    read : reads what is wanted, given the state; it is called again where one was saved meanwhile.

    Returns
    -------
    The state, and what was read.

    Raises
    ------
    UserError : there is no checkpoint, it is damaged, or it is saved faster than it can be read.
    """
    failed = False
    for _ in range(_READS):
        try:
            state = checkpoint.read_checkpoint_state(folder)
            found = read(state)
            if checkpoint.read_checkpoint_state(folder) == state:
                return state, found
        except UserError:
            if failed or not checkpoint.holds_checkpoint(folder):
                raise
            failed = True  # it may have been read while one was put in place of another
    raise UserError(
        f"checkpoint {str(folder)!r} is saved faster than it can be read: wait until the training "
        "has ended, or read a copy"
    )


def choose_device(name: str) -> torch.device:
    """Turn a device name into a device that is there.

    Parameters
    ----------
    name : a torch device name, or `auto`: CUDA where there is a device, else the CPU.

    Raises
    ------
    UserError : no such device, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # `meta` has no values
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"device {name!r} cannot be used here: choose auto, cpu or cuda") from None
    return device

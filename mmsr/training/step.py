"""What one training run is made of: model, optimizer, device, and the step that uses them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.graph.codes import modality_codes
from mmsr.models.mmsr import MMSR
from mmsr.models.products import products_in
from mmsr.training import checkpoint
from mmsr.training.loss import softmax_cross_entropy
from mmsr.training.modality_dropout import modality_dropout


def train_step(
    model: MMSR,
    optimizer: torch.optim.Optimizer,
    histories_BL: Tensor,
    targets_B: Tensor,
    config: Config,
) -> Tensor:
    """One optimisation step: full softmax cross-entropy over all items; returns the loss."""
    settings = config.training
    optimizer.zero_grad(set_to_none=True)  # first: their memory serves the forward pass
    with (
        modality_dropout(model.tables, settings.modality_dropout),
        products_in(torch.bfloat16 if settings.bf16 else torch.float32),
    ):
        loss = softmax_cross_entropy(
            model.user_vectors(histories_BL),
            model.item_vectors(),
            targets_B,
            settings.label_smoothing,
        )
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
    optimizer.step()
    return loss.detach()


def new_model(config: Config, dataset: Dataset) -> MMSR:
    """A model with seeded weights, on the CPU; codes come from the cache where they are known."""
    codes = modality_codes(dataset, config.graph)
    torch.manual_seed(config.seed)
    return MMSR(config, dataset.n_items, codes)


def new_optimizer(config: Config, model: MMSR) -> torch.optim.Optimizer:
    """Adam, fused; weight decay is decoupled."""
    return torch.optim.AdamW(
        model.parameters(),
        lr=config.training.learning_rate,
        weight_decay=config.training.weight_decay,
        fused=True,
    )


def load_best_model(folder: Path, config: Config, dataset: Dataset) -> MMSR:
    """The model of a checkpoint's best epoch, on the CPU."""
    model = new_model(config, dataset)
    checkpoint.load_model(folder, checkpoint.BEST, model)
    return model


def choose_device(name: str) -> torch.device:
    """Turn a device name into a device that is there.

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

"""Weights that are put into a model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights into a model, but skip buffers that hold the same values already.

    A buffer that is not written to stays on the mapped file that it came from, which all processes
    of a node share.

    Parameters
    ----------
    model : changed in place.
    weights : all parameters and buffers of the model, by name.
    """
    kept = {
        name: buffer
        for name, buffer in model.named_buffers()
        if name in weights and torch.equal(buffer, weights[name].to(buffer.device))
    }
    model.load_state_dict({**weights, **kept})

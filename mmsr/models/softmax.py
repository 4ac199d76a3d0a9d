"""Softmax over few columns at little cost on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_VECTOR = 16
"""Columns from which on torch's own softmax works on whole vectors of a CPU."""
_MANY = 2**13
"""Scores from which on the difference pays for one more step of Python."""


def softmax(x: Tensor) -> Tensor:
    """`torch.softmax(x, dim=-1)`, several times as fast on a CPU where rows are short.

    torch works through rows of fewer than 16 columns number by number there.
    """
    if x.device.type == "cpu" and x.shape[-1] < _VECTOR and x.numel() >= _MANY:
        short: Tensor = _ShortSoftmax.apply(x)  # type: ignore[no-untyped-call]
        return short
    return torch.softmax(x, dim=-1)


class _ShortSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        weights = (x - x.amax(dim=-1, keepdim=True)).exp_()
        weights.div_(weights.sum(dim=-1, keepdim=True))
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        weights: Tensor = ctx.saved_tensors[0]
        scaled = weights * gradients[0]
        return scaled.sub_(weights * scaled.sum(dim=-1, keepdim=True))

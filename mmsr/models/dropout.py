"""Dropout whose random numbers cost little on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_DRAW = torch.int64
_LEVELS = 2**16
_PER_DRAW = 4
"""Elements that one 64-bit random number decides, 16 bits each."""


def dropout(x: Tensor, probability: float, training: bool) -> Tensor:
    """`torch.nn.functional.dropout`, several times as fast on a CPU.

    On a CPU, a quarter of a 64-bit random number decides each element; torch draws a number for
    each, one after the other. The probability is rounded to a multiple of 2⁻¹⁶, and kept
    elements are scaled to match, so the mean stays the same.

    Parameters
    ----------
    x : floats of any shape.
    probability : share of the elements that are dropped, in [0, 1).
    training : False returns `x` itself.
    """
    if not training or probability == 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, probability)
    return x * dropout_mask(x, probability)


def dropout_mask(x: Tensor, probability: float) -> Tensor:
    """The mask that `dropout` multiplies by: 0 for dropped elements, a scale for kept ones.

    Parameters
    ----------
    x : floats; the mask has the same shape, type and device.
    probability : share of the elements that are dropped, in (0, 1).
    """
    if x.device.type != "cpu":
        return F.dropout(torch.ones_like(x), probability)
    dropped = min(round(probability * _LEVELS), _LEVELS - 1)
    draws = torch.empty((x.numel() + _PER_DRAW - 1) // _PER_DRAW, dtype=_DRAW)
    draws.random_(torch.iinfo(_DRAW).min, None)
    # Floats first: torch compares floats faster than it turns booleans into floats.
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape).to(x.dtype)
    return kept.ge_(dropped - _LEVELS // 2).mul_(_LEVELS / (_LEVELS - dropped))

"""A running average of a model's weights, to rank with in place of the newest ones."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from mmsr.models.mmsr import MMSR

_Tensors = tuple[Tensor, ...] | list[Tensor]
_WARM_UP = 10
"""The first steps are forgotten sooner: after n steps the average spans about n / 10 of them."""


class WeightAverage:
    """Exponential moving average over the steps of training (Polyak and Juditsky, 1992).

    Parameters
    ----------
    model : the model in training.
    decay : share of the average that a step keeps, in (0, 1); 0.999 spans about 1,000 steps.
    """

    def __init__(self, model: MMSR, decay: float) -> None:
        def move(averaged: _Tensors, current: _Tensors, steps: Tensor | int) -> None:
            keep = min(decay, (int(steps) + 1) / (int(steps) + 1 + _WARM_UP))
            torch._foreach_lerp_(averaged, current, 1 - keep)

        self._averaged = AveragedModel(model, multi_avg_fn=move)

    @property
    def model(self) -> MMSR:
        """The model with averaged weights, fit for evaluation."""
        return cast(MMSR, self._averaged.module)

    def update(self, model: MMSR) -> None:
        """Take in the weights after a step."""
        self._averaged.update_parameters(model)

    def state_dict(self) -> dict[str, Tensor]:
        """Averaged weights and number of steps, for a checkpoint."""
        return dict(self._averaged.state_dict())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint's average."""
        self._averaged.load_state_dict(state)

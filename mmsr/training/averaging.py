"""A running average of a model's weights, used for ranking in place of the newest ones."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from mmsr.models.base import Recommender
from mmsr.models.weights import load_weights

_STEPS, _MODEL = "n_averaged", "module."
"""Names in a checkpoint: the number of steps, and the prefix of all weights."""
_WARM_UP = 10
"""The first steps are forgotten sooner: after n steps the average spans about n / 10 of them."""


class WeightAverage:
    """Exponential moving average over the steps of training (Polyak and Juditsky, 1992).

    Buffers never change, so they are shared with the model in training; torch's `AveragedModel`
    would copy them after every step.

    Parameters
    ----------
    model : the model in training.
    decay : share of the average that a step keeps, in (0, 1); 0.999 spans about 1,000 steps.
    """

    def __init__(self, model: Recommender, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._model = copy.deepcopy(model, {id(buffer): buffer for buffer in model.buffers()})

    @property
    def model(self) -> Recommender:
        """The model with averaged weights, fit for evaluation."""
        return self._model

    @torch.no_grad()
    def update(self, model: Recommender) -> None:
        """Add the weights that a training step produced to the average.

        Parameters
        ----------
        model : the model in training. The first call copies its weights.
        """
        averaged: list[Tensor] = list(self._model.parameters())
        current: list[Tensor] = list(model.parameters())
        if self._steps == 0:
            torch._foreach_copy_(averaged, current)
        else:
            keep = min(self._decay, (self._steps + 1) / (self._steps + 1 + _WARM_UP))
            torch._foreach_lerp_(averaged, current, 1 - keep)
        self._steps += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Averaged weights and number of steps, for a checkpoint."""
        weights = {f"{_MODEL}{name}": tensor for name, tensor in self._model.state_dict().items()}
        return {_STEPS: torch.tensor(self._steps), **weights}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from the average in a checkpoint.

        Parameters
        ----------
        state : what `state_dict` returned.
        """
        weights = {n.removeprefix(_MODEL): t for n, t in state.items() if n != _STEPS}
        load_weights(self._model, weights)
        self._steps = int(state[_STEPS])

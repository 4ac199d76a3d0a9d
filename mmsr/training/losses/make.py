"""The one place where the loss that a config names becomes a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsr.config.loss import (
    BceConfig,
    BprConfig,
    GbceConfig,
    OwnLossConfig,
    SampledConfig,
    SampledSoftmaxConfig,
    SoftmaxConfig,
)
from mmsr.config.training import TrainingConfig
from mmsr.models.base import Recommender
from mmsr.training.losses.sampled import (
    binary_cross_entropy,
    bpr,
    corrected,
    draw,
    gbce_power,
    sampled_softmax,
    score,
)
from mmsr.training.losses.softmax import softmax_cross_entropy

Loss = Callable[[Recommender, Tensor, Tensor], Tensor]
"""Takes the model, user vectors `[B, D]` and targets `[B]`; returns the mean loss, a scalar."""


def make_loss(settings: TrainingConfig, popularity: Tensor | None = None) -> Loss | None:
    """Make the loss that a config names.

    Parameters
    ----------
    settings : the config's training part.
    popularity : `[I]`, how often each item is a target, for losses that draw by it; without it they
        draw all items alike.

    Returns
    -------
    The function; None for `own`, which is `Recommender.own_loss`.
    """
    loss = settings.loss
    if isinstance(loss, OwnLossConfig):
        return None
    if isinstance(loss, SoftmaxConfig):
        return _Softmax(settings.label_smoothing)
    by_popularity = isinstance(loss, SampledSoftmaxConfig) and loss.sampling == "popularity"
    if not by_popularity or popularity is None:
        return _Sampled(loss)
    return _Sampled(loss, popularity, popularity.to(torch.float64).cumsum(0))


@dataclass(frozen=True)
class _Softmax:
    label_smoothing: float

    def __call__(self, model: Recommender, users_BD: Tensor, targets_B: Tensor) -> Tensor:
        return softmax_cross_entropy(
            users_BD, model.item_vectors(), targets_B, self.label_smoothing
        )


@dataclass(frozen=True)
class _Sampled:
    config: SampledConfig
    popularity: Tensor | None = None
    cumulated: Tensor | None = None

    def __call__(self, model: Recommender, users_BD: Tensor, targets_B: Tensor) -> Tensor:
        config = self.config
        shape = (config.negatives,) if config.shared else (len(targets_B), config.negatives)
        negatives = draw(shape, model.n_items, self.cumulated, users_BD.device)
        scores = score(model, users_BD, targets_B, negatives)
        match config:
            case SampledSoftmaxConfig():
                return sampled_softmax(corrected(scores, targets_B, negatives, self.popularity))
            case BceConfig():
                return binary_cross_entropy(scores)
            case GbceConfig():
                power = gbce_power(config.negatives, model.n_items, config.calibration)
                return binary_cross_entropy(scores, power)
            case BprConfig():
                return bpr(scores)

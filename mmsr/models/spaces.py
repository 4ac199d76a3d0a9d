"""The part of a default search space that models have in common: how they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice, Float

FULL_SOFTMAX: Mapping[str, Any] = {
    "training.loss.name": "softmax",
    "training.label_smoothing": 0.0,
}
"""Known settings of the plain loss over all items."""
_MANY_NEGATIVES = ("sampled_softmax", "gbce")


def training_space(
    *losses: str, batches: tuple[int, ...] = (32, 64, 100, 128, 256)
) -> Mapping[str, Dimension]:
    """Dimensions of the training: the loss and its own knobs, learning rate, batches, averaging.

    `bce` and `bpr` keep their one negative, as they were published; the number is varied only for
    losses that are made for many.

    Parameters
    ----------
    *losses : names of the losses to choose from, `softmax` and one with many negatives among them.
    batches : batch sizes to choose from.

    Examples
    --------
    >>> print(training_space("softmax", "bce", "gbce")["training.loss.negatives"])
    256 | 512 | 2048 under training.loss.name=gbce
    """
    many = tuple(loss for loss in losses if loss in _MANY_NEGATIVES)
    dimensions: dict[str, Dimension] = {
        "training.loss.name": Choice(*losses),
        "training.loss.negatives": Choice(256, 512, 2048, when={"training.loss.name": many}),
        "training.label_smoothing": Choice(0.0, 0.1, when={"training.loss.name": "softmax"}),
        "training.learning_rate": Float(1e-4, 5e-3, log=True),
        "training.batch_size": Choice(*batches),
        "training.averaging": Choice(0.0, 0.999),
    }
    if "sampled_softmax" in losses:
        dimensions["training.loss.sampling"] = Choice(
            "uniform", "popularity", when={"training.loss.name": "sampled_softmax"}
        )
    return dimensions

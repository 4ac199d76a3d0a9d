"""What a training step sees: examples as a model takes them, and the order they come in."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmsr.data import Dataset, Prefixes
from mmsr.errors import UserError
from mmsr.models.base import CausalRecommender, SequentialRecommender
from mmsr.training.windows import Windows

Part = Literal["train", "development"]
"""What a model is trained on: training targets, or these and validation's."""


def parts_for(dataset: Dataset, part: Part) -> tuple[Prefixes, Prefixes | None]:
    """The examples to train on, and those to validate on.

    Parameters
    ----------
    dataset : a prepared data set.
    part : what to train on; `development` leaves nothing to validate.

    Raises
    ------
    UserError : there are none.
    """
    examples = dataset.train() if part == "train" else dataset.development()
    valid = dataset.valid() if part == "train" else None
    if not len(examples) or (valid is not None and not len(valid)):
        what = "training" if not len(examples) else "validation"
        raise UserError(
            f"data set {dataset.name!r} has no {what} targets: its histories are too short for "
            f"protocol {dataset.protocol!r}; import it with another protocol"
        )
    return examples, valid


def examples_for(
    model: SequentialRecommender, examples: Prefixes, max_history: int
) -> Prefixes | Windows:
    """Examples as a model is trained on them: prefixes, or all positions of a history at once.

    Parameters
    ----------
    model : decides; a `CausalRecommender` takes all positions.
    examples : the training examples.
    max_history : most items of a history.
    """
    if isinstance(model, CausalRecommender):
        return Windows.of(examples, max_history)
    return examples


def bucketed_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int32]]:
    """Cut all examples into batches of similar length, in random order.

    Examples of equal length are shuffled, and then the batches are. So every epoch sees different
    batches, and hardly any padding is computed.

    Parameters
    ----------
    lengths : int64 `[n]`, history length of each example.
    batch_size : examples per batch.
    rng : random generator of both shuffles.

    Returns
    -------
    Arrays of example indices, int32 `[batch_size]` each (one may be shorter), that hold each
    example once.
    """
    order = np.lexsort((rng.random(len(lengths)), lengths)).astype(np.int32)
    batches = np.split(order, range(batch_size, len(order), batch_size))
    return [batches[i] for i in rng.permutation(len(batches))]

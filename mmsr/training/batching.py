"""What a training step sees: examples as a model takes them, and the order they come in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsr.data import Dataset, Part, Prefixes
from mmsr.errors import UserError
from mmsr.models.base import CausalRecommender, CollaborativeRecommender, Recommender
from mmsr.training.windows import Windows


def validation_for(dataset: Dataset, part: Part) -> Prefixes | None:
    """The examples to validate on, after a check that there are some to train on.

    Parameters
    ----------
    dataset : a prepared data set.
    part : what is trained on; `development` leaves nothing to validate.

    Returns
    -------
    The validation prefixes; None where nothing is validated.

    Raises
    ------
    UserError : there are none.
    """
    counts = dataset.manifest.counts
    trained = counts.train_targets + (0 if part == "train" else counts.valid_targets)
    valid = dataset.valid() if part == "train" else None
    if not trained or (valid is not None and not len(valid)):
        what = "validation" if trained else "training"
        raise UserError(
            f"data set {dataset.name!r} has no {what} targets: its histories are too short for "
            f"protocol {dataset.protocol!r}; import it with another protocol"
        )
    return valid


@dataclass(frozen=True)
class Pairs:
    """Examples of users and their items, for models that read no histories.

    Attributes
    ----------
    users, items : int64 [n], one interaction each.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.items)

    def lengths(self, longest: int) -> NDArray[np.int64]:
        """1 for each example, int64 `[n]`: all are of one size."""
        return np.ones(len(self), dtype=np.int64)

    def n_targets(self, rows: NDArray[np.integer]) -> int:
        """Number of targets of the examples `rows`: one each."""
        return len(rows)

    def target_counts(self, n_items: int) -> NDArray[np.int64]:
        """How often each item is a target, int64 `[n_items]`."""
        counts: NDArray[np.int64] = np.bincount(self.items, minlength=n_items)
        return counts

    def batch(
        self, rows: NDArray[np.integer], longest: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Users and items of the examples `rows` `[B]`, both int64 `[B]`."""
        return self.users[rows], self.items[rows]


def examples_for(
    model: Recommender, dataset: Dataset, part: Part, max_history: int
) -> Prefixes | Windows | Pairs:
    """Examples as a model is trained on them.

    A `CausalRecommender` takes all positions of a history at once, a `CollaborativeRecommender`
    users and their items, all others prefixes.

    Parameters
    ----------
    model : decides.
    dataset, part : where the examples come from.
    max_history : most items of a history.
    """
    if isinstance(model, CollaborativeRecommender):
        return Pairs(*dataset.interactions(part))
    prefixes = dataset.train() if part == "train" else dataset.development()
    if isinstance(model, CausalRecommender):
        return Windows.of(prefixes, max_history)
    return prefixes


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

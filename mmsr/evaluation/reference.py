"""What the reference models reach on a data set, and whether measuring it takes too much."""

from __future__ import annotations

import os
from collections.abc import Callable

from mmsr.config import Seen
from mmsr.data import Prefixes
from mmsr.evaluation.metrics import ranking_metrics
from mmsr.evaluation.ranking import rank_targets
from mmsr.models.reference.base import ReferenceModel
from mmsr.models.reference.ease import Ease, memory_needed
from mmsr.models.reference.item_knn import ItemKnn
from mmsr.models.reference.popularity import Popularity
from mmsr.models.reference.settings import EASE, ITEM_KNN, POPULARITY

MEMORY = 4 * 10**9
"""Most bytes that a reference model may take."""
_FITS: dict[str, Callable[[Prefixes, int], ReferenceModel]] = {
    POPULARITY: Popularity.fit,
    ITEM_KNN: ItemKnn.fit,
    EASE: Ease.fit,
}
_SECONDS_PER_SCORE = 3e-9
_SECONDS_PER_PAIR = 2e-8
"""Of two items in one user's history."""
_OPERATIONS_PER_SECOND = 5e10
"""Of one core, as LAPACK inverts a matrix of float32."""


def measure(
    label: str, train: Prefixes, valid: Prefixes, n_items: int, *, seen: Seen
) -> dict[str, float]:
    """Fit a reference model to training data and rank validation targets; it sees whole histories.

    Parameters
    ----------
    label : label of the model, a key of `LINES`.
    train, valid : the examples to learn from and those to rank.
    n_items : size of the catalogue.
    seen : whether items of the history stay in the ranking (`training.seen`).

    Returns
    -------
    ``{"hr@5": …, …}``, as of `ranking_metrics`.

    Raises
    ------
    UserError : there are no validation targets.
    FloatingPointError : float32 is not precise enough for this data set.
    """
    model = _FITS[label](train, n_items)
    longest = int((valid.targets - valid.starts).max(initial=1))
    ranks = rank_targets(
        lambda histories_BL, _: model.scores(histories_BL),
        valid,
        n_items,
        max_history=longest,
        seen=seen,
    )
    return ranking_metrics(ranks)


def too_large(label: str, n_items: int) -> str | None:
    """Why the model of this label cannot be fitted in memory; None if it can.

    Parameters
    ----------
    label : label of the model.
    n_items : size of the catalogue.
    """
    needed = memory_needed(n_items) if label == EASE else 0
    if needed <= MEMORY:
        return None
    return f"{n_items:,} items take {needed / 1e9:.1f} GB, more than {MEMORY / 1e9:.0f} GB"


def estimated_seconds(label: str, train: Prefixes, valid: Prefixes, n_items: int) -> float:
    """About how long `measure` takes on a machine that is not busy.

    Parameters
    ----------
    label, train, valid, n_items : as in `measure`.
    """
    seconds = _SECONDS_PER_SCORE * len(valid) * n_items
    if label != POPULARITY:  # a user's histories have the lengths 1, 2, …: together, half the pairs
        seconds += _SECONDS_PER_PAIR * 2 * float((train.targets - train.starts).sum())
    if label == EASE:
        seconds += n_items**3 / (_OPERATIONS_PER_SECOND * (os.cpu_count() or 1))
    return seconds

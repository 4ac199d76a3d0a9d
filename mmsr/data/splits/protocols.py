"""Protocols that split histories.

A protocol divides each user's history, in the order of time, into train | validation | test.

- `ratio`: test is the last fifth of each user's items (rounded down), validation the last fifth
  of the rest.
- `leave-one-out`: test is each user's last item, validation the one before.
- `temporal`: test is what happens from one moment on, the same for all users; validation begins at
  an earlier moment.
- `cold-items`: as `temporal`, but only items that do not occur before their part are targets.

Examples
--------
Two users: the first with five interactions, at the times 1 to 5, the second with three, at 6 to 8.

>>> histories = Histories(
...     items=np.array([10, 11, 12, 13, 14, 20, 21, 22], dtype=np.int32),
...     offsets=np.array([0, 5, 8]),
...     times=np.arange(1, 9),
... )
>>> def parts(split):
...     for user, n in enumerate(histories.lengths):
...         items = histories.items[histories.offsets[user] :][:n].tolist()
...         valid = n - split.n_test[user] - split.n_valid[user]
...         test = n - split.n_test[user]
...         print(items[:valid], items[valid:test], items[test:])
>>> parts(split_ratio(histories))  # a fifth of three items is none
[10, 11, 12, 13] [] [14]
[20, 21, 22] [] []
>>> parts(split_leave_one_out(histories))
[10, 11, 12] [13] [14]
[20] [21] [22]
>>> parts(split_temporal(histories))  # validation from time 7, test from time 8
[10, 11, 12, 13, 14] [] []
[20] [21] [22]

A target needs a history, so the first item of a user is never one:

>>> split_leave_one_out(histories).count_targets(histories.lengths)  # train, validation, test
(2, 2, 2)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmsr.data.splits.moments import count_from, moment_leaving, several_before
from mmsr.data.splits.prefixes import Prefixes, items_before, prefixes_between
from mmsr.errors import UserError

TEST_SHARE = 0.2
"""Share of a history (`ratio`) or of all interactions (`temporal`) that test takes; validation
takes the same share of the rest."""
COLD_ITEMS = "cold-items"
BY_MOMENT = ("temporal", COLD_ITEMS)
"""Protocols that compare moments between users."""


@dataclass(frozen=True)
class Histories:
    """All histories, each in the order of time.

    Attributes
    ----------
    items : int32 [n_interactions], flat, one user after the other.
    offsets : int64 [n_users + 1].
    times : int64 or float64 [n_interactions], not decreasing within a user.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    times: NDArray[np.int64 | np.float64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Interactions of each user, int64 [n_users]."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Split:
    """How many of each user's latest items are validation and test.

    A history is train | validation | test, in the order of time.

    Attributes
    ----------
    n_valid, n_test : int64 [n_users].
    valid_from, test_from : moments where the parts begin; None where the protocol has none.
    targets : number of validation and of test targets, where not all items of these parts are.
    """

    n_valid: NDArray[np.int64]
    n_test: NDArray[np.int64]
    valid_from: float | None = None
    test_from: float | None = None
    targets: tuple[int, int] | None = None

    def count_targets(self, lengths: NDArray[np.int64]) -> tuple[int, int, int]:
        """Number of train, validation and test targets; a target has a non-empty history.

        Parameters
        ----------
        lengths : int64 [n_users], interactions of each user.
        """
        development = lengths - self.n_test
        train = np.maximum(development - self.n_valid - 1, 0)
        valid = np.minimum(self.n_valid, np.maximum(development - 1, 0))
        test = np.minimum(self.n_test, np.maximum(lengths - 1, 0))
        n_valid, n_test = self.targets or (int(valid.sum()), int(test.sum()))
        return int(train.sum()), n_valid, n_test


def split_ratio(histories: Histories, test_from: float | None = None) -> Split:
    """Split as the paper does: test is the last int(0.2·n) of each user, validation the same again.

    Validation applies the rule to what test leaves. One user's test items may be older than another
    user's training items: this protocol does not keep a model from learning about the future
    through other users.

    Parameters
    ----------
    histories : all histories.
    test_from : not used.
    """
    n_test = (TEST_SHARE * histories.lengths).astype(np.int64)
    n_valid = (TEST_SHARE * (histories.lengths - n_test)).astype(np.int64)
    return Split(n_valid, n_test)


def split_leave_one_out(histories: Histories, test_from: float | None = None) -> Split:
    """Split off each user's last item as test and the one before as validation.

    A history of two has no validation item. As with `ratio`, a model may learn about the future
    through other users.

    Parameters
    ----------
    histories : all histories, of two or more items.
    test_from : not used.
    """
    n_valid = (histories.lengths > 2).astype(np.int64)
    return Split(n_valid, np.ones_like(n_valid))


def split_temporal(histories: Histories, test_from: float | None = None) -> Split:
    """Split at one moment for all users: what happens from then on is test.

    Interactions of one moment are never divided. A user who appears only after the moment has no
    target for the first item.

    Parameters
    ----------
    histories : all histories.
    test_from : the moment; None stands for the earliest that leaves at most 20 % of all
        interactions to test. Validation takes 20 % of the rest in the same way.

    Raises
    ------
    UserError : there are fewer than two moments before test.
    """
    times, offsets = histories.times, histories.offsets
    test_from = moment_leaving(times, TEST_SHARE) if test_from is None else test_from
    if not several_before(times, test_from):
        raise UserError(
            "a split by time needs two moments or more before test begins, to train and to "
            "validate: give later interactions or --test-from, or choose another protocol"
        )
    valid_from = moment_leaving(times, TEST_SHARE, before=test_from)
    late = count_from(times, offsets, test_from)
    later = count_from(times, offsets, valid_from)
    return Split(later - late, late, valid_from, test_from)


def split_cold_items(histories: Histories, test_from: float | None = None) -> Split:
    """Split as `split_temporal` does, and rank for new items alone.

    A target of validation is an item that does not occur in training, a target of test one that
    occurs neither in training nor in validation. Nothing is left out of the histories.

    Parameters
    ----------
    histories, test_from : as in `split_temporal`.

    Raises
    ------
    UserError : as in `split_temporal`.
    """
    split = split_temporal(histories, test_from)
    seen = histories.lengths - split.n_test
    trained = seen - split.n_valid
    valid, test = (
        len(targets_between(COLD_ITEMS, histories.items, histories.offsets, first, last))
        for first, last in ((trained, seen), (seen, histories.lengths))
    )
    return replace(split, targets=(valid, test))


def targets_between(
    protocol: str,
    items: NDArray[np.int32],
    offsets: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> Prefixes:
    """Examples whose targets are those of a part, as a protocol has them.

    With `cold-items`, only items that do not occur before the part are targets. Before training no
    item occurs, so that all of its items are.

    Parameters
    ----------
    protocol : a name in `PROTOCOLS`.
    items, offsets, first, last : as for `prefixes_between`.
    """
    prefixes = prefixes_between(items, offsets, first, last)
    if protocol != COLD_ITEMS:
        return prefixes
    known = items_before(items, offsets, first, int(items.max(initial=-1)) + 1)
    return prefixes.select(np.flatnonzero(~known[prefixes.target_items()]))


PROTOCOLS: dict[str, Callable[[Histories, float | None], Split]] = {
    "ratio": split_ratio,
    "leave-one-out": split_leave_one_out,
    "temporal": split_temporal,
    COLD_ITEMS: split_cold_items,
}

"""Histories whose every position is trained in one pass, for models that look at no later item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsr.data.splits import PADDING, Prefixes
from mmsr.data.splits.prefixes import padded


@dataclass(frozen=True)
class Windows:
    """Pieces of histories, each with the target that follows each of its items.

    The pieces of a user are cut from the latest target backwards, so each example's target occurs
    once. A history that is longer than a piece is not seen whole: the first targets of all pieces
    but the user's first have fewer items before them than a `Prefixes` example of theirs has.

    Attributes
    ----------
    items : int32 [n_interactions], all histories one after the other.
    begins, ends : int64 [n], positions in `items`: the piece is ``items[begins:ends]``.
    firsts : int64 [n], position of the first target; ``firsts > begins`` always.

    Examples
    --------
    A user with the items 10 to 15, all but the first of them targets, in pieces of three items:

    >>> from mmsr.data.splits import prefixes_between
    >>> items = np.arange(10, 16, dtype=np.int32)
    >>> prefixes = prefixes_between(items, np.array([0, 6]), np.array([0]), np.array([6]))
    >>> windows = Windows.of(prefixes, 3)
    >>> histories, targets = windows.batch(np.arange(len(windows)), 3)
    >>> histories.tolist()
    [[10, 11, -1], [12, 13, 14]]
    >>> targets.tolist()
    [[11, 12, -1], [13, 14, 15]]
    """

    items: NDArray[np.int32]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    firsts: NDArray[np.int64]

    @classmethod
    def of(cls, examples: Prefixes, longest: int) -> Windows:
        """Cut the histories of examples into pieces.

        Parameters
        ----------
        examples : in the order of users, each user's targets one after the other.
        longest : most items of a piece.
        """
        new = np.flatnonzero(np.diff(examples.users, prepend=-1))
        starts, firsts = examples.starts[new], examples.targets[new]
        lasts = examples.targets[np.append(new[1:], len(examples)) - 1] if len(new) else firsts
        pieces = -(-(lasts - firsts + 1) // longest)
        owner = np.repeat(np.arange(len(new)), pieces)
        later = pieces.cumsum()[owner] - 1 - np.arange(len(owner))  # pieces of the user after it
        ends = lasts[owner] - later * longest
        begins = np.maximum(ends - longest, starts[owner])
        return cls(examples.items, begins, ends, np.maximum(firsts[owner], begins + 1))

    def __len__(self) -> int:
        return len(self.ends)

    def lengths(self, longest: int) -> NDArray[np.int64]:
        """Items of each piece, int64 `[n]`, at most `longest`."""
        lengths: NDArray[np.int64] = np.minimum(self.ends - self.begins, longest)
        return lengths

    def n_targets(self, rows: NDArray[np.integer]) -> int:
        """Number of targets of the pieces `rows`."""
        return int((self.ends[rows] - self.firsts[rows] + 1).sum())

    def target_counts(self, n_items: int) -> NDArray[np.int64]:
        """How often each item is a target, int64 `[n_items]`."""
        counts = self.ends - self.firsts + 1
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        targets = self.items[np.repeat(self.firsts, counts) + within]
        found: NDArray[np.int64] = np.bincount(targets, minlength=n_items)
        return found

    def batch(
        self, rows: NDArray[np.integer], longest: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Gather the pieces `rows` as padded matrices.

        Parameters
        ----------
        rows : int64 [B], indices of pieces.
        longest : latest items of each piece to take.

        Returns
        -------
        histories : int64 [B, L], oldest first, padded with -1 on the right; L is the longest here.
        targets : int64 [B, L], the item that follows each; -1 where that is no target.
        """
        ends = self.ends[rows]
        begins = np.maximum(self.begins[rows], ends - longest)
        histories, places = padded(self.items, begins, ends)
        targets = self.items.take(places + 1, mode="clip").astype(np.int64)
        is_target = (histories != PADDING) & (places + 1 >= self.firsts[rows][:, None])
        targets[~is_target] = PADDING
        return histories, targets

"""A small shop: items are repeated, some have nobody, and histories go on after training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsr.data import Prefixes
from mmsr.data.splits import prefixes_between

N_ITEMS = 30


@dataclass(frozen=True)
class SmallShop:
    """Prefixes to learn from, and the same interactions as plain lists."""

    train: Prefixes
    learned: list[list[int]]
    """Training items of each user, repeated ones included."""
    histories_BL: NDArray[np.int64]
    """Histories to score: of several lengths, with repeats, -1 behind the end."""

    @property
    def seen_UI(self) -> NDArray[np.float64]:
        """1 where a user has an item in training."""
        seen = np.zeros((len(self.learned), N_ITEMS))
        for user, items in enumerate(self.learned):
            seen[user, items] = 1
        return seen


@pytest.fixture
def shop() -> SmallShop:
    """45 users; the last three items occur only after training."""
    rng = np.random.default_rng(5)
    trained = rng.integers(2, 12, 45)
    parts = [
        np.concatenate([rng.zipf(1.4, n) % (N_ITEMS - 3), rng.integers(0, N_ITEMS, 3)])
        for n in trained
    ]
    lengths = trained + 3
    offsets = np.concatenate(([0], lengths.cumsum()))
    items = np.concatenate(parts).astype(np.int32)
    train = prefixes_between(items, offsets, np.zeros_like(trained), trained)
    histories = np.full((8, 6), -1)
    for row, length in enumerate([1, 2, 3, 6, 6, 4, 5, 1]):
        histories[row, :length] = rng.integers(0, N_ITEMS, length)
    histories[3, 4] = histories[3, 0]
    learned = [part[:n].tolist() for part, n in zip(parts, trained, strict=True)]
    return SmallShop(train.select(rng.permutation(len(train))), learned, histories)

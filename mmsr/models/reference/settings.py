"""The reference lines of leaderboards, and their settings, which no study varies.

They are the same for all data sets. The defaults were chosen by looking at validation of Toys: h
among 0, 1, 10 and 100, and λ among 50, 250 and 500. So they are no figures of tuned models.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PopularitySettings:
    """Popularity has no settings."""


@dataclass(frozen=True)
class ItemKnnSettings:
    """Settings of item-kNN."""

    neighbours: int = 100
    """Most similar items that count for an item, k."""
    shrinkage: float = 100.0
    """Added to the denominator of the cosine, h: similarities that few users support shrink."""


@dataclass(frozen=True)
class EaseSettings:
    """Settings of EASE."""

    l2: float = 500.0
    """Weight of the squared Frobenius norm, λ."""


Settings = PopularitySettings | ItemKnnSettings | EaseSettings

POPULARITY, ITEM_KNN, EASE = "popularity", "item-kNN", "EASE"
LINES: dict[str, Settings] = {
    POPULARITY: PopularitySettings(),
    ITEM_KNN: ItemKnnSettings(),
    EASE: EaseSettings(),
}
"""Settings by label, in the order of tables."""

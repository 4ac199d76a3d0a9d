"""Missing modalities: seeded choices of items that are to lack one, as links of -1.

Items that really lack a modality have the same links, so a model handles both alike. Choices are
nested: the seed and the modality's name put the items that have the modality in a random order, and
a rate takes its share from the front. So what is missing at 30 % is missing at 50 %, too, and what
is missing of `image` alone is missing of `image` and `text` together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from mmsr.errors import UserError

Links = NDArray[np.int64]


def check_rate(rate: float) -> None:
    """Check that a missing rate is a share.

    Parameters
    ----------
    rate : share of the items that lose a modality.

    Raises
    ------
    UserError : the rate is not in [0, 1].
    """
    if not 0 <= rate <= 1:
        raise UserError(f"rate {rate}: give the share of items that lack a modality, from 0 to 1")


def n_lost(rate: float, n_have: int) -> int:
    """Number of items that lose a modality, rounded.

    Parameters
    ----------
    rate : share of them, in [0, 1].
    n_have : number of items that have the modality.
    """
    return int(rate * n_have + 0.5)


def lost_items(links_IK: Links, modality: str, rate: float, seed: int) -> NDArray[np.bool_]:
    """Which items are to lack a modality that they have.

    Parameters
    ----------
    links_IK : codes of every item in this modality, -1 where it has none.
    modality : its name; the items' order differs between modalities.
    rate : share of the items that have it and lose it, in [0, 1].
    seed : seed of the items' order.

    Returns
    -------
    bool `[I]`, True where an item loses it.
    """
    check_rate(rate)
    have = np.flatnonzero((links_IK >= 0).any(axis=1))
    order = np.random.default_rng([seed, *modality.encode()]).permutation(have)
    lost = np.zeros(len(links_IK), dtype=np.bool_)
    lost[order[: n_lost(rate, len(have))]] = True
    return lost


def without(
    links: Mapping[str, Links], modalities: Iterable[str], rate: float, seed: int
) -> dict[str, Links]:
    """Remove the links of some modalities from a share of the items.

    Each modality has its own choice of items, so at a rate of 0.5 with two modalities about a
    quarter of the items lack both. At rate 0 the links are those that were given.

    Parameters
    ----------
    links : int64 `[I, K]` by modality, -1 where an item has none.
    modalities : which of them lose links.
    rate : share of the items that have a modality and lose it, in [0, 1].
    seed : decides which items.

    Returns
    -------
    Links of all modalities; the arrays of the others are the given ones.
    """
    found = dict(links)
    for modality in modalities:
        lost = lost_items(links[modality], modality, rate, seed)
        found[modality] = np.where(lost[:, None], -1, links[modality])
    return found

"""Missing modalities: seeded choices of items that are to lack one, as links of -1.

That is how items that really lack a modality look, so a model reads both by the same code. Choices
are nested: the items that have a modality are put in a random order by the seed and the modality's
name, and a rate takes so many from the front. What is missing at 30 % is missing at 50 %, and what
is missing of `image` alone is missing of `image` and `text` together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from mmsr.errors import UserError

Links = NDArray[np.int64]


def check_rate(rate: float) -> None:
    """Refuse what is no share.

    Raises
    ------
    UserError : the rate is not in [0, 1].
    """
    if not 0 <= rate <= 1:
        raise UserError(f"rate {rate}: it is the share of items that lack a modality, from 0 to 1")


def n_lost(rate: float, n_have: int) -> int:
    """How many of the items that have a modality lose it at a rate."""
    return int(rate * n_have + 0.5)


def lost_items(links_IK: Links, modality: str, rate: float, seed: int) -> NDArray[np.bool_]:
    """Which items are to lack a modality that they have.

    Parameters
    ----------
    links_IK : codes of every item in this modality, -1 where it has none.
    modality : its name; every modality has an order of its own.
    rate : share of the items that have it, in [0, 1].
    seed : of the order.

    Returns
    -------
    bool `[I]`.
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
    """Links of all modalities, those of some left out of a share of the items.

    Each of these modalities is left out by its own choice, so at a rate of 0.5 of two modalities
    about a quarter of the items lack both. At rate 0 the links are those that were given.
    """
    found = dict(links)
    for modality in modalities:
        lost = lost_items(links[modality], modality, rate, seed)
        found[modality] = np.where(lost[:, None], -1, links[modality])
    return found

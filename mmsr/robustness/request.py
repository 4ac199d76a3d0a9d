"""The points of a robustness sweep, from the command line's words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from mmsr.errors import UserError, unknown

if TYPE_CHECKING:
    from mmsr.evaluation.sweep import Sweep, Way

RATES = "0,0.1,0.3,0.5,0.7,0.9,1"
WAYS = ("item", "access")
ALL, BOTH = "all", "both"
_MOST_SEEDS = 100


def parse_rates(text: str) -> tuple[float, ...]:
    """The rates in a text such as `0.1,0.5`, ascending, with 0 added.

    Parameters
    ----------
    text : the rates.

    Raises
    ------
    UserError : a word is not a share from 0 to 1, or no rate is above 0.
    """
    found = {0.0}
    for word in text.split(","):
        try:
            rate = float(word)
        except ValueError:
            rate = math.nan
        if not 0 <= rate <= 1:
            raise UserError(
                f"--rates {text!r}: {word.strip()!r} is no share from 0 to 1; write e.g. 0,0.3,1"
            )
        found.add(rate + 0.0)  # there is no -0
    if found == {0.0}:
        raise UserError(f"--rates {text!r}: give at least one rate above 0")
    return tuple(sorted(found))


def parse_subsets(
    text: str | None, modalities: Sequence[str], others: Sequence[str] = ()
) -> tuple[tuple[str, ...], ...]:
    """The subsets of modalities in a text such as `image,text,both`.

    `a+b` is a subset, `all` means all modalities, and `both` means the two of a model that has two.

    Parameters
    ----------
    text : the subsets; None takes each modality alone, and all together if there are several.
    modalities : modalities of the model.
    others : modalities of the data set that the model was trained without.

    Raises
    ------
    UserError : the model lacks a modality, or no subset is named.
    """
    have = tuple(modalities)
    if text is None:
        alone: list[tuple[str, ...]] = [(name,) for name in have]
        return tuple([*alone, have] if len(have) > 1 else alone)
    found = []
    for word in (word.strip() for word in text.split(",")):
        if word == ALL or (word == BOTH and BOTH not in have):
            if word == BOTH and len(have) != 2:
                raise UserError(
                    f"--modalities {word}: the model has {', '.join(have)}; say all, or e.g. "
                    f"{'+'.join(have[:2])}"
                )
            found.append(have)
            continue
        names = [name.strip() for name in word.split("+")]
        for name in names:
            if name not in have:
                if name in others:
                    raise UserError(
                        f"--modalities {word}: the model was trained without {name!r}, so it "
                        f"cannot go missing; it has {', '.join(have)}"
                    )
                raise unknown("modality of the model", name, have, hint="or all; a+b is a subset")
        found.append(tuple(name for name in have if name in names))
    return tuple(dict.fromkeys(found))


def make_sweep(
    modalities: Sequence[str],
    *,
    subsets: str | None,
    rates: str,
    seeds: int,
    way: str,
    metric: str,
    others: Sequence[str] = (),
) -> Sweep:
    """The sweep that was asked for, checked.

    Parameters
    ----------
    modalities : modalities of the model.
    subsets : the subsets that go missing, see `parse_subsets`.
    rates : the shares of items that lose them, see `parse_rates`.
    seeds : number of random draws for each rate.
    way : `item` or `access`.
    metric : metric to measure.
    others : modalities of the data set that the model was trained without.

    Raises
    ------
    UserError : the first thing that is wrong.
    """
    if not modalities:
        raise UserError("the model has no modalities: nothing can go missing")
    if way not in WAYS:
        raise unknown("--way", way, WAYS)
    if not 1 <= seeds <= _MOST_SEEDS:
        raise UserError(f"--seeds {seeds}: give a whole number from 1 to {_MOST_SEEDS}")
    chosen, shares = parse_subsets(subsets, modalities, others), parse_rates(rates)
    from mmsr.evaluation.sweep import Sweep

    return Sweep(chosen, shares, tuple(range(seeds)), metric, cast("Way", way))

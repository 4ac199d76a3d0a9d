"""What is asked of a robustness sweep, in words, and the points that it means."""

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
    """Rates of `0.1,0.5`, ascending, 0 among them.

    Raises
    ------
    UserError : what is given is no list of shares.
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
    """Subsets of `image,text,both`; None stands for each modality, and all where there are two.

    `a+b` is a subset, `all` are all modalities, and `both` are those of a model that has two.
    `others` are what the data have and the model was trained without.

    Raises
    ------
    UserError : a modality that the model lacks, or no subset at all.
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
    """Check what was asked for of a model that has these modalities.

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

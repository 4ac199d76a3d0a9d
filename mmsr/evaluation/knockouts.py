"""Knock-outs: how much worse a trained model ranks when a modality carries no information.

`shuffled` gives every item that has the modality the codes (or the feature vector) of another such
item, `constant` gives all of them the same, `without` removes the modality, `alone` removes all
others, and `none` removes them all, so that only the items themselves are left. Nothing is
retrained, so a knock-out shows what this model relies on; it does not show what a model trained
without the modality would reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mmsr.evaluation.metrics import contributions, ranking_metrics
from mmsr.evaluation.significance import Floats
from mmsr.graph.masks import Links, without

Kind = Literal["shuffled", "constant", "without", "alone", "none"]
_SEED = 0
_RESAMPLES = 500


@dataclass(frozen=True)
class Knockout:
    """One way to knock modalities out."""

    kind: Kind
    modality: str | None
    """None stands for all modalities."""

    @property
    def label(self) -> str:
        """The knock-out in words, e.g. `image shuffled`."""
        if self.kind == "none":
            return "no modality"
        if self.kind == "without":
            return f"without {self.modality}"
        return f"{self.modality or 'all'} {self.kind}"

    def links(self, links: Mapping[str, Links]) -> dict[str, Links]:
        """The links that replace the model's own.

        Parameters
        ----------
        links : the model's own, int64 `[I, K]` by modality, -1 where an item has none.
        """
        names = set(links)
        own = names if self.modality is None else {self.modality}
        match self.kind:
            case "shuffled":
                return {**links, **{m: _shuffled(links[m], m) for m in own}}
            case "constant":
                return {**links, **{m: _constant(links[m]) for m in own}}
            case "without":
                return without(links, sorted(own), 1.0, _SEED)
            case "alone":
                return without(links, sorted(names - own), 1.0, _SEED)
            case "none":
                return without(links, sorted(names), 1.0, _SEED)


class KnockedOut(BaseModel):
    """How much worse a model ranks with one knock-out."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    modality: str | None
    label: str
    metrics: dict[str, float]
    cost: float
    """Share of the clean metric that is lost; negative where the ranking gets better."""
    low: float
    high: float
    """Ends of the 95 % interval of `cost`, by a bootstrap over users."""


class Knockouts(BaseModel):
    """All knock-outs of one model."""

    model_config = ConfigDict(frozen=True)

    metric: str
    clean: dict[str, float]
    modalities: tuple[str, ...]
    results: tuple[KnockedOut, ...]

    def of(self, kind: Kind, modality: str | None) -> KnockedOut | None:
        """Find the result of one knock-out; None where there is none.

        Parameters
        ----------
        kind : what was done to the modality.
        modality : its name; None stands for all modalities.
        """
        found = (r for r in self.results if (r.kind, r.modality) == (kind, modality))
        return next(found, None)

    def verdicts(self) -> list[str]:
        """How much the model relies on each modality, a line each, shuffled among the items."""
        lines = []
        for modality in self.modalities:
            found = self.of("shuffled", modality)
            if found is None:
                continue
            interval = f"{100 * found.low:.1f} … {100 * found.high:.1f} %"
            carries = (
                f"{100 * found.cost:.1f} % of {self.metric} depends on it ({interval})"
                if found.low > 0
                else f"no loss of {self.metric} is shown when it is shuffled ({interval})"
            )
            lines.append(f"{modality}: {carries}")
        return lines


def knockouts_of(modalities: tuple[str, ...]) -> Iterator[Knockout]:
    """Yield all knock-outs of a model.

    Parameters
    ----------
    modalities : those that the model has, by name.
    """
    several = len(modalities) > 1
    everything: tuple[str | None, ...] = (*modalities, None) if several else modalities
    for modality in everything:
        yield Knockout("shuffled", modality)
    for modality in everything:
        yield Knockout("constant", modality)
    if several:
        for modality in modalities:
            yield Knockout("alone", modality)
    if len(modalities) > 2:  # with two, one without the other is that one alone
        for modality in modalities:
            yield Knockout("without", modality)
    if modalities:
        yield Knockout("none", None)


def knock_out(
    links: Mapping[str, Links],
    rank: Callable[[Mapping[str, Links]], NDArray[np.int64]],
    users: NDArray[np.integer],
    metric: str,
    progress: Callable[[str], None] = lambda label: None,
) -> Knockouts:
    """Rank with every knock-out, and compare with the clean ranking.

    Parameters
    ----------
    links : the model's own, int64 `[I, K]` by modality.
    rank : ranks the n targets with the given links, int64 `[n]`, 1 is best.
    users : integers `[n]`, user of each target.
    metric : what costs are measured in, e.g. `mrr@20`.
    progress : called with each knock-out's label before it is ranked.
    """
    _, places = np.unique(users, return_inverse=True)

    def by_user(ranks: NDArray[np.int64]) -> Floats:
        return np.bincount(places, weights=contributions(ranks)[metric]).astype(np.float64)

    clean_ranks = rank(links)
    clean = by_user(clean_ranks)
    results = []
    for knockout in knockouts_of(tuple(links)):
        progress(knockout.label)
        ranks = rank(knockout.links(links))
        left = by_user(ranks)
        low, high = _interval(clean, left)
        results.append(
            KnockedOut(
                kind=knockout.kind,
                modality=knockout.modality,
                label=knockout.label,
                metrics=ranking_metrics(ranks),
                cost=_cost(clean, left),
                low=low,
                high=high,
            )
        )
    return Knockouts(
        metric=metric,
        clean=ranking_metrics(clean_ranks),
        modalities=tuple(links),
        results=tuple(results),
    )


def _cost(clean: Floats, left: Floats) -> float:
    """Share of the sum over users that is lost; 0 where the clean sum is 0."""
    whole = float(clean.sum())
    return 1 - float(left.sum()) / whole if whole else 0.0


def _interval(clean: Floats, left: Floats) -> tuple[float, float]:
    """Interval of 95 % of the costs, over users drawn with replacement."""
    rng, n = np.random.default_rng(_SEED), len(clean)
    costs = []
    for _ in range(_RESAMPLES):
        users = rng.integers(n, size=n)
        costs.append(_cost(clean[users], left[users]))
    low, high = np.quantile(costs, (0.025, 0.975))
    return float(low), float(high)


def _shuffled(links_IK: Links, modality: str) -> Links:
    """Links permuted among the items that have any."""
    have = np.flatnonzero((links_IK >= 0).any(axis=1))
    dealt = np.random.default_rng([_SEED, *modality.encode()]).permutation(have)
    found = links_IK.copy()
    found[have] = links_IK[dealt]
    return found


def _constant(links_IK: Links) -> Links:
    """The most frequent links for all items that have any."""
    have = np.flatnonzero((links_IK >= 0).any(axis=1))
    found = links_IK.copy()
    if len(have):
        rows, counts = np.unique(links_IK[have], axis=0, return_counts=True)
        found[have] = rows[counts.argmax()]
    return found

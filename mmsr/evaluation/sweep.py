"""Robustness curves with bands: a metric over the share of items that lack modalities.

Shapes: n users, t targets, P rates, S mask seeds, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mmsr.config import Config
from mmsr.data import Prefixes
from mmsr.evaluation.metrics import contributions, ranking_metrics
from mmsr.evaluation.robustness import Chunk, rank_by_access, rank_without, relative_area

if TYPE_CHECKING:
    from mmsr.models.base import Recommender

Way = Literal["item", "access"]
"""`item`: seeded, nested choices of items lose a modality; `access`: each occurrence of an item
loses it by chance, as in the paper authors' code."""
Ranks = NDArray[np.int64]
CONFIDENCE = 0.95
_RESAMPLES, _CHUNK_DRAWS = 1000, 4_000_000


@dataclass(frozen=True)
class Mask:
    """What is missing when the targets are ranked."""

    modalities: tuple[str, ...]
    rate: float
    seed: int
    way: Way = "item"

    def rank(
        self,
        model: Recommender,
        prefixes: Prefixes,
        config: Config,
        progress: Chunk | None = None,
    ) -> Ranks:
        """Rank the targets with this mask; modalities that the model does not have are ignored.

        Parameters
        ----------
        model : a trained model; its links are restored at the end.
        prefixes : the t examples to rank.
        config : config of the model.
        progress : called with the number of prefixes of every finished chunk.

        Returns
        -------
        int64 `[t]`, rank of each target, 1 is best.
        """
        rank = rank_without if self.way == "item" else rank_by_access
        own = self.within(model.tables.modalities).modalities
        return rank(model, prefixes, config, own, self.rate, self.seed, progress)

    def within(self, modalities: Collection[str]) -> Mask:
        """Restrict the mask to what a model can lose; `CLEAN` where that is nothing.

        Parameters
        ----------
        modalities : those that the model has.
        """
        own = tuple(modality for modality in self.modalities if modality in modalities)
        return replace(self, modalities=own) if own else CLEAN


CLEAN = Mask((), 0.0, 0)


@dataclass(frozen=True)
class Sweep:
    """What to measure: the points of some curves; rate 0 is always among them."""

    subsets: tuple[tuple[str, ...], ...]
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    metric: str
    way: Way = "item"

    def mask(self, subset: tuple[str, ...], rate: float, seed: int) -> Mask:
        """The mask of one point.

        At rate 0 nothing is masked. At rate 1 all items lose the modalities whatever the seed, so
        all seeds share the first one's mask.

        Parameters
        ----------
        subset : modalities that go missing together.
        rate : share of the items that lose them, in [0, 1].
        seed : one of the sweep's mask seeds.
        """
        if rate == 0:
            return CLEAN
        return Mask(subset, rate, self.seeds[0] if rate == 1 else seed, self.way)

    def masks(self) -> list[Mask]:
        """All masks, each once, the clean one first."""
        points = (
            self.mask(subset, rate, seed)
            for subset in self.subsets
            for rate in self.rates
            for seed in self.seeds
        )
        return list(dict.fromkeys([CLEAN, *points]))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Point(_Frozen):
    """The point of a curve at one rate."""

    rate: float
    value: float
    """The curve's metric: its mean over mask seeds and models."""
    low: float
    high: float
    by_seed: tuple[float, ...]
    """The curve's metric for each mask seed."""
    metrics: dict[str, float]
    """All metrics, means like `value`."""


class Curve(_Frozen):
    """How a metric falls as some modalities go missing."""

    modalities: tuple[str, ...]
    points: tuple[Point, ...]
    area: float
    """Area under the curve, relative to the clean score; 1 where nothing is lost."""
    area_low: float
    area_high: float


class Curves(_Frozen):
    """All curves of a sweep."""

    metric: str
    way: Way
    mask_seeds: tuple[int, ...]
    clean: dict[str, float]
    """All metrics with nothing missing."""
    n_users: int
    n_targets: int
    band: str
    """What `low` and `high` mean, in words."""
    curves: tuple[Curve, ...]


BAND = (
    f"{CONFIDENCE:.0%} of {_RESAMPLES} bootstrap resamples that draw users, and mask seeds, anew; "
    "the training seeds of the models are not drawn"
)


def summarise(
    sweep: Sweep, ranks: Mapping[Mask, Sequence[Ranks]], users: NDArray[np.integer]
) -> Curves:
    """Summarise ranks as curves with bands.

    Parameters
    ----------
    sweep : what was measured.
    ranks : for every mask of the sweep the ranks of the targets, one int64 `[t]` per model.
    users : integers `[t]`, user of each target.
    """
    ids, places, counts = np.unique(users, return_inverse=True, return_counts=True)
    draws = _Draws(counts, len(sweep.seeds))
    curves = []
    for subset in sweep.subsets:
        rows = [[sweep.mask(subset, r, s) for s in sweep.seeds] for r in sweep.rates]
        sums_nPS = np.stack(
            [
                np.stack(
                    [_user_sums(ranks[m], places, len(ids), sweep.metric) for m in row], axis=1
                )
                for row in rows
            ],
            axis=1,
        )
        resampled_RP = draws.means(sums_nPS)
        means = [_mean_metrics([r for m in row for r in ranks[m]]) for row in rows]
        low, high = _interval(resampled_RP)
        values = [mean[sweep.metric] for mean in means]
        areas = [relative_area(sweep.rates, tuple(row)) for row in resampled_RP]
        area_low, area_high = _interval(np.array(areas))
        curves.append(
            Curve(
                modalities=subset,
                points=tuple(
                    Point(
                        rate=rate,
                        value=values[p],
                        low=float(low[p]),
                        high=float(high[p]),
                        by_seed=tuple(_mean_metrics(ranks[m])[sweep.metric] for m in rows[p]),
                        metrics=means[p],
                    )
                    for p, rate in enumerate(sweep.rates)
                ),
                area=relative_area(sweep.rates, values),
                area_low=float(area_low),
                area_high=float(area_high),
            )
        )
    return Curves(
        metric=sweep.metric,
        way=sweep.way,
        mask_seeds=sweep.seeds,
        clean=_mean_metrics(ranks[CLEAN]),
        n_users=len(ids),
        n_targets=len(users),
        band=BAND,
        curves=tuple(curves),
    )


def run_sweep(
    sweep: Sweep,
    rank: Callable[[Mask], Sequence[Ranks]],
    users: NDArray[np.integer],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Curves:
    """Rank with every mask of a sweep, then summarise.

    Parameters
    ----------
    sweep : what to measure.
    rank : ranks the targets with a mask, one int64 `[t]` per model.
    users : integers `[t]`, user of each target.
    progress : called before each mask with the masks done and their number.
    """
    found: dict[Mask, Sequence[Ranks]] = {}
    masks = sweep.masks()
    for mask in masks:
        progress(len(found), len(masks))
        found[mask] = rank(mask)
    return summarise(sweep, found, users)


class _Draws:
    """Draws users and mask seeds with replacement; the draws are the same for all curves."""

    def __init__(self, counts: NDArray[np.integer], n_seeds: int) -> None:
        self._counts = counts.astype(np.float64)
        self._n_seeds = n_seeds

    def means(self, sums_nPS: NDArray[np.float64]) -> NDArray[np.float64]:
        """Resampled means over targets and seeds `[R, P]`."""
        n, P, S = sums_nPS.shape
        rng = np.random.default_rng(0)
        flat = sums_nPS.reshape(n, P * S)
        rows = max(1, _CHUNK_DRAWS // n)
        found = []
        for done in range(0, _RESAMPLES, rows):
            some = min(rows, _RESAMPLES - done)
            drawn = rng.integers(n, size=(some, n)) + np.arange(some)[:, None] * n
            weights = np.bincount(drawn.ravel(), minlength=some * n).reshape(some, n).astype(float)
            totals = (weights @ flat).reshape(some, P, S)
            seeds = rng.integers(S, size=(some, 1, S))
            chosen = np.take_along_axis(totals, np.broadcast_to(seeds, totals.shape), axis=2)
            found.append(chosen.mean(axis=2) / (weights @ self._counts)[:, None])
        return np.concatenate(found)


def _user_sums(
    several: Sequence[Ranks], places: NDArray[np.intp], n: int, metric: str
) -> NDArray[np.float64]:
    """Sum of the metric over each user's targets, averaged over models: `[n]`."""
    values = np.mean([contributions(ranks)[metric] for ranks in several], axis=0)
    return np.bincount(places, weights=values, minlength=n).astype(np.float64)


def _mean_metrics(several: Sequence[Ranks]) -> dict[str, float]:
    found = [ranking_metrics(ranks) for ranks in several]
    if len({id(ranks) for ranks in several}) == 1:  # one point for all seeds: exactly its value
        return found[0]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _interval(values: NDArray[np.float64]) -> NDArray[np.float64]:
    tail = (1 - CONFIDENCE) / 2
    ends: NDArray[np.float64] = np.quantile(values, (tail, 1 - tail), axis=0)
    return ends

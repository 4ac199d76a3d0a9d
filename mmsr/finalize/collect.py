"""From the final runs and their test ranks to figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsr.finalize.request import DEVELOPMENT, TRAIN, Chosen, FinalPlan
from mmsr.provenance import provenance
from mmsr.study.results.comparison import COMPARED, Comparison, compare, mean_and_std, users_means
from mmsr.study.results.finalized import (
    ConfigFigures,
    FinalResult,
    Optimism,
    PairFigures,
    SeedFigures,
)
from mmsr.study.results.held_out import Ranked, read_ranked
from mmsr.study.storage.trials import TrialRow

if TYPE_CHECKING:
    from mmsr.evaluation.significance import Floats

Runs = Mapping[tuple[int, int, str], TrialRow]
"""The run of each config (by its trial's number), seed and part."""


def runs_of(plan: FinalPlan, found: Sequence[TrialRow]) -> Runs:
    """The run of each config, seed and part.

    Parameters
    ----------
    plan : the final runs.
    found : their trials.
    """
    asked = list(plan.only or ())
    return {
        (row.settings["trial"], row.settings["seed"], row.settings["part"]): row
        for row in found
        if row.settings in asked
    }


def collect(
    plan: FinalPlan, runs: Runs, progress: Callable[[str], None] = lambda _: None
) -> FinalResult:
    """Read the test ranks of all finished refits, and average and compare them.

    Parameters
    ----------
    plan : the final runs.
    runs : their trials.
    progress : called with messages for the user.

    Raises
    ------
    UserError : stored ranks cannot be read.
    """
    ranked = {
        (trial, seed): read_ranked(plan.folder, row.number)
        for (trial, seed, part), row in runs.items()
        if part == DEVELOPMENT and row.state == "finished"
    }
    progress("resampling users")
    configs = tuple(_figures(plan, one, runs, ranked) for one in plan.chosen)
    some = next(iter(ranked.values()), None)
    definition = plan.study.definition
    return FinalResult(
        study=plan.study.name,
        dataset=definition.dataset,
        dataset_hash=definition.dataset_hash,
        protocol=definition.protocol,
        objective=definition.objective,
        seeds=plan.seeds,
        configs=configs,
        pairs=_pairs(plan, ranked, progress),
        n_users=len(np.unique(some.users)) if some else None,
        n_targets=len(some.users) if some else None,
        trials=(plan.trials_over, plan.trials_wanted),
        **provenance(),
    )


def _figures(
    plan: FinalPlan, one: Chosen, runs: Runs, ranked: Mapping[tuple[int, int], Ranked]
) -> ConfigFigures:
    seeds = tuple(
        _refit(seed, runs[one.number, seed, DEVELOPMENT], ranked.get((one.number, seed)))
        for seed in plan.seeds
    )
    mean, std = mean_and_std([seed.metrics for seed in seeds if seed.error is None])
    own = [ranked[key] for key in ranked if key[0] == one.number]
    low, high = _intervals(own) if own else ({}, {})
    reseeded = tuple(
        _reseeded(seed, runs[one.number, seed, TRAIN]) for seed in plan.seeds if plan.optimism
    )
    return ConfigFigures(
        trial=one.number,
        epochs=one.epochs,
        config=one.config.to_dict(),
        settings=one.row.settings,
        validation=_part(one.row.metrics, "valid/"),
        seeds=seeds,
        mean=mean,
        std=std,
        low=low,
        high=high,
        reseeded=reseeded,
        optimism=_optimism(one.row.value, reseeded, plan.study.definition.objective),
    )


def _refit(seed: int, row: TrialRow, ranked: Ranked | None) -> SeedFigures:
    from mmsr.evaluation import ranking_metrics

    found = ranking_metrics(ranked.ranks) if ranked is not None else {}
    return SeedFigures(
        seed=seed,
        trial=row.number,
        error=None if ranked is not None else row.error or row.state,
        epochs=row.epochs,
        seconds=row.seconds,
        metrics={f"test/{name}": value for name, value in found.items()},
    )


def _reseeded(seed: int, row: TrialRow) -> SeedFigures:
    finished = row.state == "finished"
    return SeedFigures(
        seed=seed,
        trial=row.number,
        error=None if finished else row.error or row.state,
        epochs=row.best_epoch,
        seconds=row.seconds,
        metrics=_part(row.metrics, "valid/") if finished else {},
    )


def _optimism(
    selected: float | None, reseeded: Sequence[SeedFigures], objective: str
) -> Optimism | None:
    values = [one.metrics[objective] for one in reseeded if one.error is None]
    if selected is None or not values:
        return None
    return Optimism(
        selected=selected,
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else None,
        n=len(values),
    )


def _intervals(ranked: Sequence[Ranked]) -> tuple[dict[str, float], dict[str, float]]:
    """95 % intervals over users of the means over seeds, by metric."""
    from mmsr.evaluation import contributions
    from mmsr.evaluation.significance import bootstrap_interval

    by_seed = [contributions(one.ranks) for one in ranked]
    names = list(by_seed[0])
    values: Floats = np.stack(
        [np.mean([found[name] for found in by_seed], axis=0) for name in names], axis=1
    )
    low, high = bootstrap_interval(values, ranked[0].users)
    keys = [f"test/{name}" for name in names]
    return _named(keys, low), _named(keys, high)


def _pairs(
    plan: FinalPlan,
    ranked: Mapping[tuple[int, int], Ranked],
    progress: Callable[[str], None],
) -> tuple[PairFigures, ...]:
    """All pairs of configs compared by each metric; p-values are corrected over the pairs."""
    of = {
        number: users_means([one.ranks for one in own], own[0].users)
        for number in (one.number for one in plan.chosen)
        if (own := [ranked[key] for key in ranked if key[0] == number])
    }
    pairs = list(combinations(of, 2))
    if not pairs:
        return ()
    objective = plan.study.definition.objective.partition("/")[2]
    found: dict[str, list[Comparison]] = {}
    for metric in dict.fromkeys([objective, *COMPARED]):
        progress(f"comparing users by {metric}")
        users = {number: means(metric) for number, means in of.items()}
        found[metric] = compare([(users[first], users[second]) for first, second in pairs])
    return tuple(
        PairFigures(
            first=first,
            second=second,
            metrics={metric: found[metric][place] for metric in found},
        )
        for place, (first, second) in enumerate(pairs)
    )


def _named(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _part(metrics: Mapping[str, float], part: str) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name.startswith(part)}

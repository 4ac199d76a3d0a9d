"""Contenders against each other: where settings differ, and tests paired over users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsr.report.side_by_side.contenders import Contender
from mmsr.study.results.comparison import (
    COMPARED,
    LEAST_SEEDS,
    Comparison,
    SeedComparison,
    compare,
    compare_seeds,
    users_means,
)
from mmsr.study.views.standings import apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsr.evaluation.significance import Floats

VALID, TEST = "valid", "test"
_LEFT_OUT = ("training.threads", "dataset")


@dataclass(frozen=True)
class Pair:
    """Two contenders by one metric on one part of the data."""

    first: str
    second: str
    part: str
    """`valid` or `test`."""
    metric: str
    found: Comparison | SeedComparison


@dataclass(frozen=True)
class SideBySide:
    """Contenders, and what came out."""

    contenders: tuple[Contender, ...]
    metrics: tuple[str, ...]
    """The metrics that are shown, the first objective's first."""
    pairs: tuple[Pair, ...]
    not_paired: tuple[str, ...]
    """A sentence for each pair, and part, that no test compares: why."""

    @property
    def on_valid(self) -> tuple[str, ...]:
        """The metrics of validation that are shown: also of warm and of cold targets, if apart."""
        first, *others = self.metrics
        known = {name for one in self.contenders for name in one.valid}
        return (first, *(name for name in apart(first) if name in known), *others)

    def differences(self) -> dict[str, tuple[Any, ...]]:
        """Config values that are not the same for all, by key; None where there is no such key."""
        flat = [one.config.flat() for one in self.contenders]
        keys = dict.fromkeys(key for own in flat for key in own if key not in _LEFT_OUT)
        values = {key: tuple(own.get(key) for own in flat) for key in keys}
        return {key: own for key, own in values.items() if len(set(map(repr, own))) > 1}


def side_by_side(contenders: Sequence[Contender]) -> SideBySide:
    """Compare contenders, each with each.

    P-values have Holm's correction over all pairs of a part and metric.

    Parameters
    ----------
    contenders : two or more.
    """
    first = contenders[0].objective.partition("/")[2]
    metrics = tuple(dict.fromkeys([first, *COMPARED]))
    pairs: list[Pair] = []
    reasons: list[str] = []
    for part, obstacle, measured in (
        (VALID, _obstacle_on_valid, _on_valid),
        (TEST, _obstacle_on_test, _on_test),
    ):
        possible = []
        for a, b in combinations(contenders, 2):
            if (why := obstacle(a, b)) is None:
                possible.append((a, b))
            else:
                name = "validation" if part == VALID else "test"
                reasons.append(f"no paired test of {a.name} and {b.name} on {name}: {why}")
        if possible:
            pairs += measured(possible, metrics)
    return SideBySide(tuple(contenders), metrics, tuple(pairs), tuple(reasons))


def _obstacle_on_valid(a: Contender, b: Contender) -> str | None:
    for one in (a, b):
        if one.ranks is None or one.targets is None:
            return f"{one.name}: {one.lacking}"
    if (seen := _other_ranking(a, b)) is not None:
        return seen
    first, second = a.targets, b.targets
    if first is None or second is None:
        return "ranks are missing"
    if a.dataset_hash == b.dataset_hash or all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("items", "starts", "targets", "users")
    ):
        return None
    return f"their targets differ (data sets {_data(a)} and {_data(b)})"


def _obstacle_on_test(a: Contender, b: Contender) -> str | None:
    for one in (a, b):
        if one.final is None:
            return f"{one.name} has no test figures (`mmsr study finalize` brings them)"
    if a.dataset_hash != b.dataset_hash:
        return f"their targets differ (data sets {_data(a)} and {_data(b)})"
    if (seen := _other_ranking(a, b)) is not None:
        return seen
    for one in (a, b):
        if not one.tested:
            return f"the test ranks of {one.name} are not on this machine"
    if not np.array_equal(a.tested[0].users, b.tested[0].users):
        return "their targets differ"
    return None


def _other_ranking(a: Contender, b: Contender) -> str | None:
    first, second = a.config.training.seen, b.config.training.seen
    if first == second:
        return None
    return f"they rank different items (training.seen is {first} and {second})"


def _data(one: Contender) -> str:
    return f"{one.dataset} ({one.protocol}, {one.dataset_hash[:12]})"


def _on_valid(
    possible: Sequence[tuple[Contender, Contender]], metrics: Sequence[str]
) -> list[Pair]:
    def values(one: Contender) -> Callable[[str], Floats]:
        if one.ranks is None:  # never so: pairs without ranks are left out
            raise ValueError(f"{one.name} has no ranks")
        return users_means([one.ranks.ranks], one.ranks.users)

    return _compared(possible, metrics, VALID, values)


def _on_test(possible: Sequence[tuple[Contender, Contender]], metrics: Sequence[str]) -> list[Pair]:
    if all(len(one.tested) >= LEAST_SEEDS for pair in possible for one in pair):
        return _over_seeds(possible, metrics)

    def values(one: Contender) -> Callable[[str], Floats]:
        return users_means([ranked.ranks for ranked in one.tested], one.tested[0].users)

    return _compared(possible, metrics, TEST, values)


def _compared(
    possible: Sequence[tuple[Contender, Contender]],
    metrics: Sequence[str],
    part: str,
    values: Callable[[Contender], Callable[[str], Floats]],
) -> list[Pair]:
    means = {one.name: values(one) for pair in possible for one in pair}
    found = []
    for metric in metrics:
        results = compare([(means[a.name](metric), means[b.name](metric)) for a, b in possible])
        found += [
            Pair(a.name, b.name, part, metric, one)
            for (a, b), one in zip(possible, results, strict=True)
        ]
    return found


def _over_seeds(
    possible: Sequence[tuple[Contender, Contender]], metrics: Sequence[str]
) -> list[Pair]:
    """Compare test over users and seeds, since all have seeds enough."""
    from mmsr.evaluation.significance import pooled_spread

    found = []
    for metric in metrics:
        runs = {one.name: _runs(one, metric) for pair in possible for one in pair}
        pooled = pooled_spread(list(runs.values()))
        results = compare_seeds([(runs[a.name], runs[b.name], pooled) for a, b in possible])
        found += [
            Pair(a.name, b.name, TEST, metric, one)
            for (a, b), one in zip(possible, results, strict=True)
        ]
    return found


def _runs(one: Contender, metric: str) -> NDArray[np.float64]:
    """Users' values in each refit, float64 [n_seeds, n_users]."""
    return np.stack([users_means([own.ranks], own.users)(metric) for own in one.tested])

"""The Pareto front of a study with several objectives."""

from __future__ import annotations

from collections.abc import Sequence

from mmsr.study.search.objectives import dominates, minimised, shown
from mmsr.study.storage.trials import R, Ranked, ranked


def pareto_front(found: Sequence[R], objectives: Sequence[str]) -> list[R]:
    """Finished trials that no other trial dominates, best first by the first objective.

    Parameters
    ----------
    found : the trials of the study.
    objectives : its objectives.
    """
    finished = [row for row in ranked(found) if row.state == "finished"]
    values = {row.number: [row.metrics[name] for name in objectives] for row in finished}
    signs = [1.0 if minimised(name) else -1.0 for name in objectives]

    def worst_last(number: int) -> list[float]:
        return [sign * value for sign, value in zip(signs, values[number], strict=True)]

    # In this order nothing dominates what comes before it, so the front so far is all to look at.
    front: list[int] = []
    for number in sorted(values, key=worst_last):
        if not any(dominates(values[other], values[number], objectives) for other in front):
            front.append(number)
    return [row for row in finished if row.number in front]


def front_tags(found: Sequence[Ranked], objectives: Sequence[str]) -> dict[str, str]:
    """The front as tags of the study's run; empty for a single objective.

    Parameters
    ----------
    found : the trials of the study.
    objectives : its objectives.
    """
    if len(objectives) == 1:
        return {}
    front = pareto_front(found, objectives)
    values = [
        f"{row.number}: "
        + ", ".join(f"{name} {shown(name, row.metrics[name])}".strip() for name in objectives)
        for row in front
    ]
    return {
        "mmsr.pareto_trials": " ".join(str(row.number) for row in front),
        "mmsr.pareto": "; ".join(values),
    }

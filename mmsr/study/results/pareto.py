"""The Pareto front of a study with several objectives."""

from __future__ import annotations

from collections.abc import Sequence

from mmsr.study.search.objectives import dominates, shown
from mmsr.study.storage.trials import TrialRow, ranked


def pareto_front(found: Sequence[TrialRow], objectives: Sequence[str]) -> list[TrialRow]:
    """Finished trials that no other trial dominates, best first by the first objective.

    Parameters
    ----------
    found : the trials of the study.
    objectives : its objectives.
    """
    finished = [row for row in ranked(found) if row.state == "finished"]
    values = {row.number: [row.metrics[name] for name in objectives] for row in finished}
    return [
        row
        for row in finished
        if not any(dominates(other, values[row.number], objectives) for other in values.values())
    ]


def front_tags(found: Sequence[TrialRow], objectives: Sequence[str]) -> dict[str, str]:
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

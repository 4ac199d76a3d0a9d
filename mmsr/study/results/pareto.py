"""The front of a study of several objectives: trials than which no other is better in all."""

from __future__ import annotations

from collections.abc import Sequence

from mmsr.study.search.objectives import dominates, shown
from mmsr.study.storage.trials import TrialRow, ranked


def pareto_front(found: Sequence[TrialRow], objectives: Sequence[str]) -> list[TrialRow]:
    """Finished trials that no other dominates, best first by the first objective."""
    finished = [row for row in ranked(found) if row.state == "finished"]
    values = {row.number: [row.metrics[name] for name in objectives] for row in finished}
    return [
        row
        for row in finished
        if not any(dominates(other, values[row.number], objectives) for other in values.values())
    ]


def front_tags(found: Sequence[TrialRow], objectives: Sequence[str]) -> dict[str, str]:
    """The front as tags of the study's run; none where there is one objective."""
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

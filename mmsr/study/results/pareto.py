"""The Pareto front of a study with several objectives."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from mmsr.config import minimised
from mmsr.study.storage.trials import R, TrialRow, finished

FRONT = "pareto_front.csv"
"""Name of the front's file in the study's folder, and with its run."""


def pareto_front(found: Sequence[R], objectives: Sequence[str]) -> list[R]:
    """Finished trials that no other trial dominates, best first by the first objective.

    Parameters
    ----------
    found : the trials of the study.
    objectives : its objectives.
    """
    best = finished(found, objectives)
    values = np.array([[row.metrics[name] for name in objectives] for row in best])
    signs = [1.0 if minimised(name) else -1.0 for name in objectives]
    costs = values.reshape(-1, len(objectives)) * signs
    # In this order nothing dominates what comes before it, so the front so far is all to look at.
    front: list[int] = []
    for place in np.lexsort(costs.T[::-1]).tolist():
        others, own = costs[front], costs[place]
        if not ((others <= own).all(axis=1) & (others < own).any(axis=1)).any():
            front.append(place)
    return [best[place] for place in sorted(front)]


def front_table(found: Sequence[TrialRow], objectives: Sequence[str]) -> str | None:
    """The front as CSV, best first by the first objective; None for a single objective.

    Parameters
    ----------
    found : the trials of the study.
    objectives : its objectives.
    """
    if len(objectives) == 1:
        return None
    front = pareto_front(found, objectives)
    keys = list(dict.fromkeys(key for row in front for key in row.settings))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", *objectives, "best_epoch", *keys])
    for row in front:
        values = [row.metrics[name] for name in objectives]
        settings = [row.settings.get(key, "") for key in keys]
        table.writerow([row.number, *values, row.best_epoch, *settings])
    return text.getvalue().removesuffix("\n")

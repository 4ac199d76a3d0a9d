"""What tables of trials hold, wherever they are shown: on a terminal, in a report, as a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmsr.config import minimised
from mmsr.study.storage.trials import TrialRow, best_value, finished

SHOWN = ("mrr@20", "hr@20", "mrr@5", "hr@5")
MOST_OF_FRONT = 20
"""Trials of a Pareto front that are shown; its file has all."""


def chosen_on(objective: str) -> str:
    """The part of the data that `objective` is measured on, as titles name it."""
    part = objective.partition("/")[0]
    return "validation" if part == "valid" else part.upper()


def metric_names(found: Sequence[TrialRow], objective: str) -> list[str]:
    """The metrics of a leaderboard, without their part: that of the objective comes first.

    Where warm and cold targets were ranked apart, it is there for each of them, too.

    Parameters
    ----------
    found : the trials of a study.
    objective : metric that ranks them.
    """
    part, _, metric = objective.partition("/")
    names = list(dict.fromkeys([metric, *SHOWN]))
    if any(f"{part}/cold/{metric}" in row.metrics for row in found):
        names[1:1] = apart(metric)
    return names


def apart(metric: str) -> list[str]:
    """Names of a metric of warm and of cold targets, each apart.

    Parameters
    ----------
    metric : such as `mrr@20`.
    """
    return [f"warm/{metric}", f"cold/{metric}"]


def front_heads(objectives: Sequence[str]) -> list[str]:
    """Heads of the columns of a Pareto front: each objective, its unit and its direction.

    Parameters
    ----------
    objectives : the study's objectives.
    """
    return [
        f"{name}{', %' if name.startswith('valid/') else ''} {'↓' if minimised(name) else '↑'}"
        for name in objectives
    ]


@dataclass(frozen=True)
class ModelStanding:
    """How one of a study's models stands."""

    name: str
    trials: tuple[TrialRow, ...]
    """Its trials."""
    objectives: Sequence[str]
    """The study's."""

    @property
    def best(self) -> float | None:
        """The first objective of its best finished trial; None if none has finished."""
        return best_value(self.trials)

    @property
    def first(self) -> TrialRow | None:
        """Its best finished trial."""
        return next(iter(finished(self.trials, self.objectives)), None)

    @property
    def seconds(self) -> float:
        """Seconds of training, of all its trials."""
        return sum(row.seconds or 0.0 for row in self.trials)


def model_standings(
    found: Sequence[TrialRow], objectives: Sequence[str], models: Sequence[str]
) -> list[ModelStanding]:
    """A study's models, best first.

    Parameters
    ----------
    found : the trials of the study.
    objectives : its objectives.
    models : names of the models.
    """
    own = (
        ModelStanding(name, tuple(row for row in found if row.model == name), objectives)
        for name in models
    )
    return sorted(own, key=lambda one: (one.best is None, -(one.best or 0.0)))

"""A study's trials as rows, and their ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study.storage.attributes import OUTCOME, config_of, is_invalid, predecessor
from mmsr.study.storage.lineage import current, curve_of
from mmsr.tracking import RunState

_STATES = {
    TrialState.COMPLETE: RunState.FINISHED.value,
    TrialState.PRUNED: RunState.PRUNED.value,
    TrialState.FAIL: RunState.FAILED.value,
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class TrialRow:
    """The facts about one trial."""

    number: int
    state: str
    value: float | None
    """First objective at the best epoch; at the newest one while the trial is running."""
    best_epoch: int | None
    epochs: int
    seconds: float | None
    settings: dict[str, Any]
    metrics: dict[str, float]
    """All metrics of the best epoch."""
    config: Config | None
    error: str | None
    mlflow_run_id: str | None
    code: dict[str, str]
    """Versions of the code that ran the trial."""


def rows(study: optuna.Study) -> list[TrialRow]:
    """The trials of `study`, oldest first, without those that a successor has replaced."""
    trials = study.get_trials(deepcopy=False)
    return [_row(trial, trials) for trial in current(trials) if not is_invalid(trial)]


def ranked(found: Sequence[TrialRow]) -> list[TrialRow]:
    """Finished trials, best first, then those stopped early, best first.

    Parameters
    ----------
    found : the trials of a study.
    """
    ended = [row for row in found if row.state in ("finished", "pruned") and row.value is not None]
    return sorted(ended, key=lambda row: (row.state != "finished", -(row.value or 0), row.number))


def best_value(found: Sequence[TrialRow]) -> float | None:
    """The first objective of the best finished trial; None if none has finished.

    Parameters
    ----------
    found : the trials of a study.
    """
    return next((row.value for row in ranked(found) if row.state == "finished"), None)


def best(found: Sequence[TrialRow], name: str, trial: int | None = None) -> tuple[TrialRow, Config]:
    """The best finished trial by the first objective, or the one with a given number.

    Parameters
    ----------
    found : the trials of a study.
    name : name of the study, for the error.
    trial : number of the trial; None takes the best.

    Returns
    -------
    The trial, and its config.

    Raises
    ------
    UserError : no trial has finished, or not the given one.
    """
    finished = [row for row in ranked(found) if row.state == "finished"]
    for row in finished:
        if row.config is not None and trial in (None, row.number):
            return row, row.config
    if trial is not None and finished:
        numbers = ", ".join(str(row.number) for row in finished[:10])
        raise UserError(
            f"--trial {trial}: study {name!r} has no finished trial of this number; best first: "
            f"{numbers}{', …' if len(finished) > 10 else ''}"
        )
    raise UserError(f"study {name!r} has no finished trial yet: see `mmsr study status {name}`")


def _row(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> TrialRow:
    attrs = trial.user_attrs
    outcome = attrs.get(OUTCOME, {})
    curve = curve_of(trial)
    if trial.state == TrialState.WAITING and (before := predecessor(trial)) is not None:
        curve = curve_of(trials[before])  # which it resumes
    config = config_of(trial)
    flat = config.flat() if config else {}
    return TrialRow(
        number=trial.number,
        state=_STATES[trial.state],
        value=_value(trial, curve),
        best_epoch=outcome.get("best_epoch"),
        epochs=outcome.get("epoch", max(curve, default=0)),
        seconds=outcome.get("seconds"),
        settings={key: flat.get(key, value) for key, value in trial.params.items()},
        metrics=outcome.get("best_metrics", {}),
        config=config,
        error=outcome.get("error"),
        mlflow_run_id=attrs.get("mlflow_run_id"),
        code=attrs.get("code", {}),
    )


def _value(trial: FrozenTrial, curve: Mapping[int, float]) -> float | None:
    if trial.state == TrialState.PRUNED:  # Optuna gives it the newest epoch's
        return max(curve.values(), default=None)
    if trial.state.is_finished():
        return trial.values[0] if trial.values else None
    return curve.get(max(curve, default=0))

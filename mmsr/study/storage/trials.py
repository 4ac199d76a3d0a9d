"""A study's trials as rows, and their ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from optuna.trial import FrozenTrial, TrialState

from mmsr.config import Config, minimised
from mmsr.errors import UserError
from mmsr.inner_names import storage_of
from mmsr.study.storage.attributes import (
    CONFIG,
    MODEL,
    OUTCOME,
    is_invalid,
    key_of_parameter,
)
from mmsr.study.storage.lineage import current, whole_curve
from mmsr.study.storage.outside import trials_of
from mmsr.tracking import RunState
from mmsr.tracking.energy import UNMEASURED, Energy

if TYPE_CHECKING:
    import optuna

STATES = {
    TrialState.COMPLETE: RunState.FINISHED.value,
    TrialState.PRUNED: RunState.PRUNED.value,
    TrialState.FAIL: RunState.FAILED.value,
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
"""What users call Optuna's states."""


class Ranked(Protocol):
    """What ranks a trial."""

    @property
    def number(self) -> int:
        """Its number within the study."""

    @property
    def state(self) -> str:
        """Its state, as users call it."""

    @property
    def value(self) -> float | None:
        """First objective at its best epoch."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """At least all objectives, by name."""


R = TypeVar("R", bound=Ranked)


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
    params: dict[str, Any]
    """Values of the space, as Optuna has them."""
    metrics: dict[str, float]
    """All metrics of the best epoch."""
    stored_config: dict[str, Any] | None
    """The whole config as a tree; None before the trial is handed out."""
    error: str | None
    mlflow_run_id: str | None
    code: dict[str, str]
    """Versions of the code that ran the trial."""
    model: str | None = None
    """Name of its model; None in a study of one."""
    energy: Energy = UNMEASURED
    """What its training used."""

    @cached_property
    def config(self) -> Config | None:
        """The config that the trial ran with; None if it has not been handed out yet."""
        return None if self.stored_config is None else Config.from_stored(self.stored_config)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Values of the config keys that the study varies."""
        flat = self.config.flat() if self.config else {}
        found = {key_of_parameter(name): value for name, value in self.params.items()}
        return {key: flat.get(key, value) for key, value in found.items()}


def rows(study: optuna.Study) -> list[TrialRow]:
    """The trials of `study`, oldest first, without those that a successor has replaced."""
    trials = trials_of(study)
    return [_row(trial, trials.__getitem__) for trial in current(trials) if not is_invalid(trial)]


def rows_of(study: optuna.Study, numbers: Iterable[int], ids: Mapping[int, int]) -> list[TrialRow]:
    """Some trials of a study; no others are read.

    Parameters
    ----------
    study : the Optuna study.
    numbers : numbers of the trials.
    ids : the storage's id of each trial, by its number.
    """
    storage = storage_of(study)

    def read(number: int) -> FrozenTrial:
        return storage.get_trial(ids[number])

    return [_row(read(number), read) for number in numbers]


def ranked(found: Sequence[R], objectives: Sequence[str] = ()) -> list[R]:
    """Finished trials, best first, then those stopped early, best first.

    Parameters
    ----------
    found : the trials of a study.
    objectives : its objectives. Those after the first one decide among equals in it, so that the
        first trial is on the Pareto front.
    """

    def key(row: R) -> tuple[Any, ...]:
        further = [(minimised(name), row.metrics.get(name, 0.0)) for name in objectives[1:]]
        ties = [value if less else -value for less, value in further]
        return row.state != "finished", -(row.value or 0), *ties, row.number

    ended = [row for row in found if row.state in ("finished", "pruned") and row.value is not None]
    return sorted(ended, key=key)


def finished(found: Sequence[R], objectives: Sequence[str] = ()) -> list[R]:
    """Finished trials, best first.

    Parameters
    ----------
    found, objectives : as in `ranked`.
    """
    return [row for row in ranked(found, objectives) if row.state == "finished"]


def best_value(found: Sequence[Ranked]) -> float | None:
    """The first objective of the best finished trial; None if none has finished.

    Parameters
    ----------
    found : the trials of a study.
    """
    values = [row.value for row in found if row.state == "finished" and row.value is not None]
    return max(values, default=None)


def best(
    found: Sequence[Ranked],
    objectives: Sequence[str],
    row_of: Callable[[int], TrialRow],
    name: str,
    trial: int | None = None,
) -> tuple[TrialRow, Config]:
    """The best finished trial by the first objective, or the one with a given number.

    Parameters
    ----------
    found : the trials of a study; what ranks them is enough.
    objectives : its objectives.
    row_of : returns all facts about a trial, by its number.
    name : name of the study, for the error.
    trial : number of the trial; None takes the best.

    Returns
    -------
    The trial, and its config.

    Raises
    ------
    UserError : no trial has finished, or not the given one.
    """
    numbers = [one.number for one in finished(found, objectives)]
    for number in numbers:
        if trial in (None, number):
            row = row_of(number)
            if row.config is not None:
                return row, row.config
    if trial is not None and numbers:
        first = ", ".join(map(str, numbers[:10]))
        raise UserError(
            f"--trial {trial}: study {name!r} has no finished trial of this number; best first: "
            f"{first}{', …' if len(numbers) > 10 else ''}"
        )
    raise UserError(f"study {name!r} has no finished trial yet: see `mmsr study status {name}`")


def _row(trial: FrozenTrial, trial_of: Callable[[int], FrozenTrial]) -> TrialRow:
    attrs = trial.user_attrs
    outcome = attrs.get(OUTCOME, {})
    curve = whole_curve(trial, trial_of)
    return TrialRow(
        number=trial.number,
        state=STATES[trial.state],
        value=_value(trial, curve),
        best_epoch=outcome.get("best_epoch"),
        epochs=outcome.get("epoch", max(curve, default=0)),
        seconds=outcome.get("seconds"),
        params=trial.params,
        metrics=outcome.get("best_metrics", {}),
        stored_config=attrs.get(CONFIG),
        error=outcome.get("error"),
        mlflow_run_id=attrs.get("mlflow_run_id"),
        code=attrs.get("code", {}),
        model=attrs.get(MODEL),
        energy=Energy(**outcome.get("energy", {})),
    )


def _value(trial: FrozenTrial, curve: Mapping[int, float]) -> float | None:
    if trial.state == TrialState.PRUNED:  # Optuna gives it the newest epoch's
        return max(curve.values(), default=None)
    if trial.state.is_finished():
        return trial.values[0] if trial.values else None
    return curve.get(max(curve, default=0))

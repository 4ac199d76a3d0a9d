"""What other clients keep in the same storage: studies of their own, trials added to one of mmsr's.

A study without mmsr's mark is left alone: it is neither written to nor shown as one of mmsr's. An
Optuna script or dashboard may add trials to a study of mmsr:

- A waiting trial runs like any other if its values lie within the space, and is refused with a
  reason if they do not (`mmsr.study.driver.proposals`).
- One that somebody else is running, or has run, is passed over: it is not counted, ranked, resumed
  or learnt from, since nothing is known of how its values were measured.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmsr.errors import UserError
from mmsr.format import plural
from mmsr.study.storage.attributes import INVALID, MODEL, ORIGIN, OUTSIDE, UID, Marked, is_ours

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

_FIXED = "fixed_params"
"""Attribute in which Optuna keeps the values of an enqueued trial."""
PASSED_OVER = "another client ran it, so it is not known how its values were measured"


def is_our_study(attributes: Mapping[str, Any]) -> bool:
    """Whether a study with these attributes has mmsr's mark.

    Parameters
    ----------
    attributes : the study's.
    """
    return re.fullmatch("[0-9a-f]{32}", str(attributes.get(UID))) is not None


def foreign_study(name: str, study: optuna.Study | None = None) -> UserError:
    """Build the error for a study without mmsr's mark.

    Parameters
    ----------
    name : name of the study.
    study : the study, to say more of it.
    """
    found = ""
    if study is not None:
        trials = study.get_trials(deepcopy=False)
        aims = " and ".join(direction.name.lower() for direction in study.directions)
        names = sorted({name for trial in trials for name in trial.params})
        of = f" of {', '.join(names[:3])}{', …' if len(names) > 3 else ''}" if names else ""
        found = f" ({aims}, {plural(len(trials), 'trial')}{of})"
    return UserError(
        f"the storage has a study {name!r} that mmsr did not make{found}; it is left alone: give "
        "another --name, or another --storage"
    )


def passed_over(trial: Marked) -> bool:
    """Whether somebody else is running `trial`, or has run it."""
    return trial.state.name != "WAITING" and not is_ours(trial)


def is_from_outside(trial: Marked) -> bool:
    """Whether another client has added `trial`, whatever became of it."""
    return trial.user_attrs.get(ORIGIN) == OUTSIDE or not is_ours(trial)


def screened(trial: FrozenTrial) -> FrozenTrial:
    """The trial itself, or an invalid one without values in place of one that is passed over.

    It keeps its distributions: the storage holds the study's own trials to them.
    """
    if not passed_over(trial):
        return trial
    hidden = copy.copy(trial)
    hidden.state, hidden.values = type(trial.state).FAIL, None
    hidden.params, hidden.intermediate_values = {}, {}
    hidden.user_attrs = {ORIGIN: OUTSIDE, INVALID: PASSED_OVER}
    return hidden


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of `study`, oldest first, each as `screened` shows it."""
    return [screened(trial) for trial in study.get_trials(deepcopy=False)]


def given_values(trial: FrozenTrial) -> dict[str, Any]:
    """The values that a trial from outside brings, by parameter."""
    return {**trial.system_attrs.get(_FIXED, {}), **trial.params}


def enqueued_values(trial: FrozenTrial) -> dict[str, Any]:
    """The values that a trial was enqueued with, by parameter; empty if it was proposed."""
    values: dict[str, Any] = trial.system_attrs.get(_FIXED, {})
    return values


def model_of(trial: FrozenTrial) -> str | None:
    """The model that a trial of a study of several models belongs to.

    A trial from outside says so by the names of its parameters; None if they name no single model.
    """
    if (marked := trial.user_attrs.get(MODEL)) is not None:
        return str(marked)
    named = {name.rpartition("/")[0] for name in given_values(trial)}
    return named.pop() or None if len(named) == 1 else None

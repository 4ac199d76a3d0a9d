"""Attributes in Optuna's storage, of studies and trials: their names, and functions that read them.

The names are stored in existing studies, so they must not change.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from mmsr.config import Config

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial, TrialState

UID = "uid"
"""A study's unique id, 32 hexadecimal digits; every version of mmsr has written it first."""

RETRY_OF = "retry_of"
"""Number of the trial that this one resumes or retries."""
INVALID = "invalid"
"""Why a proposal was refused; such a trial never ran."""
KEY = "key"
"""Key of the tracking run, the same for all attempts."""
ORIGIN = "origin"
"""Where the settings came from; see `mmsr.study.workers.messages.Origin`."""
CONFIG = "config"
"""The whole config, as a tree."""
OUTCOME = "outcome"
"""How the trial ended; see `mmsr.study.workers.messages.Ending`."""
IMPORTED = "imported"
"""Marks a trial of another study, which the search method learns from and nothing else counts."""
TRIED = "warm_start"
"""Marks a trial whose settings were taken from another study."""
OUTSIDE = "outside"
"""Origin of a trial that another client than mmsr added to the study, e.g. Optuna's dashboard."""
MODEL = "model"
"""Name of the model that a trial belongs to, in a study of several models."""
_OURS = (RETRY_OF, INVALID, KEY, ORIGIN, IMPORTED)
MARKS = (*_OURS, MODEL)
"""The short attributes, which say what a trial is to its study."""


class Marked(Protocol):
    """What rules about trials read of one."""

    @property
    def number(self) -> int:
        """Its number within the study."""

    @property
    def state(self) -> TrialState:
        """Optuna's state of it."""

    @property
    def user_attrs(self) -> Mapping[str, Any]:
        """Its attributes."""


def is_ours(trial: Marked) -> bool:
    """Whether mmsr has proposed, enqueued or run `trial`; all versions of it left such marks.

    A trial with values is mmsr's only if mmsr recorded how it ended: another client may have taken
    a waiting one.
    """
    if trial.state.name in ("COMPLETE", "PRUNED"):
        return OUTCOME in trial.user_attrs or IMPORTED in trial.user_attrs
    return any(name in trial.user_attrs for name in (CONFIG, *_OURS))


def parameter(model: str | None, key: str) -> str:
    """Name under which Optuna stores the values of a config key.

    Optuna allows a parameter one distribution, so in a study of several models each has its own.

    Parameters
    ----------
    model : name of the model; None in a study of one.
    key : the dotted config key.
    """
    return key if model is None else f"{model}/{key}"


def key_of_parameter(name: str) -> str:
    """The config key whose values Optuna stores as the parameter `name`."""
    return name.rpartition("/")[2]


def as_read(value: Any) -> Any:
    """An attribute's value as it comes back from the database."""
    return json.loads(json.dumps(value), object_pairs_hook=_with_shared_names)


def _with_shared_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are kept once for all trials: there are many of the same."""
    return {sys.intern(name): value for name, value in pairs}


def predecessor(trial: Marked) -> int | None:
    """Number of the trial that `trial` resumes or retries; None for a first attempt."""
    number: int | None = trial.user_attrs.get(RETRY_OF)
    return number


def key_of(trial: FrozenTrial | Trial) -> str:
    """Key of the tracking run of `trial`, the same for all attempts, e.g. `trial-00007`."""
    return str(trial.user_attrs.get(KEY, f"trial-{trial.number:05d}"))


def first_number(trial: FrozenTrial) -> int:
    """Number of the first attempt of `trial`, which its key contains."""
    return int(key_of(trial).rpartition("-")[2])


def is_invalid(trial: Marked) -> bool:
    """Whether the proposal `trial` was refused, so that it never ran."""
    return INVALID in trial.user_attrs


def config_of(trial: FrozenTrial | Trial) -> Config | None:
    """The config that `trial` ran with; None if it has not been handed out yet."""
    tree = trial.user_attrs.get(CONFIG)
    return None if tree is None else Config.from_stored(tree)

"""Attributes of a trial in Optuna's storage: their names, and functions that read them.

The names are stored in existing studies, so they must not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsr.config import Config

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

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


def predecessor(trial: FrozenTrial) -> int | None:
    """Number of the trial that `trial` resumes or retries; None for a first attempt."""
    number: int | None = trial.user_attrs.get(RETRY_OF)
    return number


def key_of(trial: FrozenTrial | Trial) -> str:
    """Key of the tracking run of `trial`, the same for all attempts, e.g. `trial-00007`."""
    return str(trial.user_attrs.get(KEY, f"trial-{trial.number:05d}"))


def first_number(trial: FrozenTrial) -> int:
    """Number of the first attempt of `trial`, which its key contains."""
    return int(key_of(trial).rpartition("-")[2])


def is_invalid(trial: FrozenTrial) -> bool:
    """Whether the proposal `trial` was refused, so that it never ran."""
    return INVALID in trial.user_attrs


def config_of(trial: FrozenTrial | Trial) -> Config | None:
    """The config that `trial` ran with; None if it has not been handed out yet."""
    tree = trial.user_attrs.get(CONFIG)
    return None if tree is None else Config.from_stored(tree)

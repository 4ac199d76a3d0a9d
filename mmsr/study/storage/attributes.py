"""What a trial carries in Optuna's storage beside its parameters: the names, and who reads them.

The names are on disk: studies that exist have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mmsr.config import Config

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

RETRY_OF = "retry_of"
"""Number of the trial that this one resumes."""
INVALID = "invalid"
"""Why a proposal was refused; such a trial never ran."""
KEY = "key"
"""Name of the tracking run, the same for all attempts."""
ORIGIN = "origin"
"""Where the settings came from; see `Origin`."""
CONFIG = "config"
"""The whole config, as a tree."""
OUTCOME = "outcome"
"""How it ended; see `mmsr.study.workers.messages.Ending`."""
IMPORTED = "imported"
"""Of a trial of another study, which informs the search method and counts nowhere."""
TRIED = "warm_start"
"""Of a trial whose settings come from another study."""

Origin = Literal["known", "proposed", "retry", "warm start"]


def predecessor(trial: FrozenTrial) -> int | None:
    """Number of the trial that this one resumes; None for a first attempt."""
    number: int | None = trial.user_attrs.get(RETRY_OF)
    return number


def key_of(trial: FrozenTrial | Trial) -> str:
    """Name of a trial's tracking run, the same for all attempts: `trial-00007`."""
    return str(trial.user_attrs.get(KEY, f"trial-{trial.number:05d}"))


def first_number(trial: FrozenTrial) -> int:
    """Number of a trial's first attempt, which its key holds."""
    return int(key_of(trial).rpartition("-")[2])


def is_invalid(trial: FrozenTrial) -> bool:
    """Whether a proposal was refused, so that the trial never ran."""
    return INVALID in trial.user_attrs


def config_of(trial: FrozenTrial | Trial) -> Config | None:
    """The config that a trial ran with; None where it has not been handed out yet."""
    tree = trial.user_attrs.get(CONFIG)
    return None if tree is None else Config.from_dict(tree)

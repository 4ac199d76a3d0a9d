"""What a driver may run, and when one of its trials is over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmsr.config import Config
from mmsr.study.search.space import Space, apply


@dataclass(frozen=True)
class Rules:
    """What a study's bookkeeping goes by.

    Parameters
    ----------
    space, base : what is varied, and the config that it is varied on.
    objective : validation metric to maximise.
    against : further objectives, taken at the epoch that is best by the first; no trial is stopped
        early then.
    time_limit : most seconds that a trial may train.
    only : the settings that may be run, as Optuna keeps them; None where any may.
    retries : trials that failed may be tried again by a later driver.
    systematic : go through the space setting by setting rather than sample it.
    make_config : makes a config of settings; None applies them to `base`.
    """

    space: Space
    base: Config
    objective: str
    against: tuple[str, ...] = ()
    time_limit: float = math.inf
    only: Sequence[Mapping[str, Any]] | None = None
    retries: bool = False
    systematic: bool = False
    make_config: Callable[[Mapping[str, Any]], Config] | None = None

    @property
    def single_objective(self) -> bool:
        """Whether there is one value to compare trials by, while they run."""
        return not self.against

    def config_of(self, settings: Mapping[str, Any]) -> Config:
        """The config that settings stand for.

        Raises
        ------
        UserError : they make no valid config.
        """
        if self.make_config is not None:
            return self.make_config(settings)
        return apply(self.base, settings)

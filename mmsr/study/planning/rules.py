"""The rules of a study: what a driver may run, and when a trial ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmsr.config import Config
from mmsr.study.search.space import Space, apply


@dataclass(frozen=True)
class Rules:
    """The rules that a study's ledger applies.

    Parameters
    ----------
    space, base : the search space, and the config that it varies.
    objective : validation metric to maximise.
    against : further objectives, measured at the epoch that is best by the first one; with any, no
        trial is stopped early.
    time_limit : the most seconds that a trial may train.
    only : the only settings to run, as Optuna stores them; None allows any.
    retries : whether a later driver may retry failed trials.
    systematic : go through the space setting by setting instead of sampling it.
    make_config : makes the config of given settings; None applies them to `base`.
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
        """Whether trials can be compared by one value while they run."""
        return not self.against

    def config_of(self, settings: Mapping[str, Any]) -> Config:
        """The config that `settings` lead to.

        Raises
        ------
        UserError : they lead to no valid config.
        """
        if self.make_config is not None:
            return self.make_config(settings)
        return apply(self.base, settings)

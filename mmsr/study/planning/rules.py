"""The rules of a study: what a driver may run, and when a trial ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmsr.config import Config
from mmsr.study.search.share import EvenTrials, Share
from mmsr.study.search.space import Space, apply, stored
from mmsr.study.storage.attributes import parameter


@dataclass(frozen=True)
class Contender:
    """A model of a study: what is varied of it, and what is tried first.

    Parameters
    ----------
    model : its name; None in a study of one model.
    space, base : its search space, and the config that it varies.
    known : settings to try first.
    """

    model: str | None
    space: Space
    base: Config
    known: tuple[Mapping[str, Any], ...] = ()

    def stored(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings as Optuna stores them, by parameter.

        Parameters
        ----------
        settings : values by dotted config key.
        """
        kept = stored(self.space, settings)
        return {parameter(self.model, key): value for key, value in kept.items()}

    def with_threads(self, threads: int) -> Contender:
        """The same with another number of threads of each trial."""
        return replace(self, base=self.base.replace({"training.threads": threads}))


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
    models : the models of a study of several, which have spaces and configs of their own; `space`
        and `base` are not used then.
    share : how trials are shared out among them.
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
    models: tuple[Contender, ...] = ()
    share: Share = field(default_factory=EvenTrials)

    @property
    def single_objective(self) -> bool:
        """Whether trials can be compared by one value while they run."""
        return not self.against

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """The models of the study, also if it is a single one."""
        return self.models or (Contender(None, self.space, self.base),)

    def config_of(self, contender: Contender, settings: Mapping[str, Any]) -> Config:
        """The config of a model that settings lead to.

        Parameters
        ----------
        contender : the model.
        settings : values by dotted config key.

        Raises
        ------
        UserError : they lead to no valid config.
        """
        if self.make_config is not None and not self.models:
            return self.make_config(settings)
        return apply(contender.base, settings)

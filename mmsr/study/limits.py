"""How much a study takes: trials, epochs, hours; of the study file and its command line."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study.options import Options
from mmsr.study.search import Sampler
from mmsr.study.search.space import Space, all_settings
from mmsr.study.storage.budget import KINDS, Budget, read_budget
from mmsr.study.workers.resources import Resources

if TYPE_CHECKING:
    from mmsr.study.planning.declaration import Study

_TRIALS = 20
_LARGEST_GRID = 100_000


def at_least_one(what: str, given: object, default: object) -> int:
    """A whole number, or the default where none is given.

    Raises
    ------
    UserError : it is none, or below 1.
    """
    value = default if given is None else given
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{what} {value!r}: give a whole number of at least 1")
    return value


def n_trials(study: Study, options: Options, sampler: Sampler, space: Space, base: Config) -> int:
    """How many trials there are to be, where nobody says it: all of a grid, or some.

    Raises
    ------
    UserError : no whole number, or a grid that is too large.
    """
    given = options.trials if options.trials is not None else study.trials
    if not sampler.systematic:
        return at_least_one("--trials", given, _TRIALS)
    size = sum(1 for _ in islice(all_settings(space, base), _LARGEST_GRID + 1))
    if size > _LARGEST_GRID:
        raise UserError(
            f"sampler: the grid has over {_LARGEST_GRID:,} settings: give fewer dimensions or "
            "larger steps, or choose another sampler"
        )
    return at_least_one("--trials", given, size)


def time_limit(study: Study, options: Options) -> float | None:
    """Most seconds that a trial may train; None sets no limit.

    Raises
    ------
    UserError : no positive number.
    """
    hours = study.trial_hours if options.trial_hours is None else options.trial_hours
    if hours is None:
        return None
    number = isinstance(hours, int | float) and not isinstance(hours, bool)
    if not number or not 0 < hours < math.inf:
        raise UserError(f"--trial-hours {hours!r}: give a number above 0")
    return 3600 * hours


def own_budget(study: Study, options: Options, resources: Resources) -> Budget:
    """What the study may take in all; the command line goes before the study file.

    Raises
    ------
    UserError : no positive number, or hours of what trials do not use.
    """
    own = {kind: getattr(study, kind) for kind in KINDS}
    given = {kind: value for kind in KINDS if (value := getattr(options, kind)) is not None}
    return read_budget({**own, **given}, resources)

"""Whether the fields of a study are of the kinds that it declares: Python itself does not mind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study.planning.declaration import Options, check_mistakes
from mmsr.study.search import Pruner, Sampler
from mmsr.study.search.space import Space, all_settings
from mmsr.study.storage.budget import KINDS, Budget
from mmsr.study.workers.resources import Resources

if TYPE_CHECKING:
    from mmsr.study.planning.declaration import Declaration

_TRIALS = 20
_LARGEST_GRID = 100_000


_KINDS = (
    ("dataset", str, "the name of a data set"),
    ("space", Mapping, "a mapping such as {'graph.n_codes': Int(10, 50)}"),
    ("objective", str | Sequence, "a metric such as 'valid/mrr@20', or a list of them"),
    ("resources", Mapping | str, "a mapping such as {'cpu': 1, 'gpu': 0}, or 'auto'"),
    ("base", Mapping, "a mapping such as {'model.width': 64}"),
    ("enqueue", Sequence | None, "a list of settings such as [{'model.width': 64}], or None"),
    ("sampler", Sampler, "Tpe(…), CmaEs(…), Gp(…), Nsga2(…), Random() or Grid()"),
    ("pruner", Pruner | None, "Halving(…), Hyperband(…), Median(…) or None"),
    ("warm_start", str | None, "the name of another study, or None"),
    ("trainer", str, "an import path such as 'mmsr.training:train'"),
)


def check_kinds(study: Declaration) -> None:
    """Check that every field is of its kind, and that the trainer's module exists.

    Raises
    ------
    UserError : names the first field that is not, and what it should be.
    """
    check_mistakes(study)
    for name, kind, example in _KINDS:
        value = getattr(study, name)
        if not isinstance(value, kind):
            raise UserError(f"{name}={value!r}: give {example}")
    enqueued = [("enqueue", settings) for settings in study.enqueue or ()]
    for name, settings in [("base", study.base), *enqueued]:
        if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
            raise UserError(f"{name}: {settings!r}: give a mapping such as {{'model.width': 64}}")
    for key, dimension in study.space.items():
        if not isinstance(getattr(dimension, "when", {}), Mapping):
            raise UserError(f"space: {key}: when={dimension.when!r}: give a mapping by config key")
    module, colon, function = study.trainer.partition(":")
    if not colon or not function or not _is_there(module):
        raise UserError(
            f"trainer={study.trainer!r}: there is no such module to import; give "
            "'module:function', e.g. 'mmsr.training:train'"
        )


def _is_there(module: str) -> bool:
    """Whether a module can be found; only the packages around it are loaded for that."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def read_budget(given: dict[str, Any], resources: Resources) -> Budget:
    """Budget of a study and its command line.

    Raises
    ------
    UserError : no positive number, or hours of what trials do not use.
    """
    for kind, limit in given.items():
        option = f"--{kind.replace('_', '-')}"
        number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if limit is not None and (not number or not 0 < limit < math.inf):
            raise UserError(f"{option} {limit!r}: give a number of hours above 0, e.g. 1.5")
        used = {"cpu_hours": resources.cpu, "gpu_hours": resources.gpu}.get(kind, 1.0)
        if limit is not None and not used and not resources.auto:
            raise UserError(
                f"{option} {limit:g}: trials use none of it (they get {resources}), so it would "
                "never be used up; give --hours, or resources that have it"
            )
    return Budget(**given)


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


def n_trials(
    study: Declaration, options: Options, sampler: Sampler, space: Space, base: Config
) -> int:
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


def time_limit(study: Declaration, options: Options) -> float | None:
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


def own_budget(study: Declaration, options: Options, resources: Resources) -> Budget:
    """What the study may take in all; the command line goes before the study file.

    Raises
    ------
    UserError : no positive number, or hours of what trials do not use.
    """
    own = {kind: getattr(study, kind) for kind in KINDS}
    given = {kind: value for kind in KINDS if (value := getattr(options, kind)) is not None}
    return read_budget({**own, **given}, resources)

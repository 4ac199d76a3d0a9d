"""Checks of a study's fields: Python does not check the types that a dataclass declares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import chain, islice
from typing import Any

from mmsr.dimensions.mistakes import mistake_in
from mmsr.errors import UserError, shown
from mmsr.numbers import check_whole, is_number
from mmsr.study.planning.declaration import Declaration, Options
from mmsr.study.planning.rules import Contender
from mmsr.study.search import Pruner, Sampler, Share
from mmsr.study.search.declarations import check_dimensions
from mmsr.study.search.space import all_settings
from mmsr.study.storage.budget import KINDS, Budget
from mmsr.study.workers.resources import Resources

_TRIALS = 20
_LARGEST_GRID = 100_000


_KINDS = (
    ("dataset", str, "the name of a data set"),
    ("space", Mapping | None, "a mapping such as {'graph.n_codes': Int(10, 50)}"),
    ("models", Sequence | Mapping | None, "a list of models such as ['mmsr', 'sasrec']"),
    ("share", str | Share, "'trials', 'hours' or ModelHalving(…)"),
    ("name", str | None, "the name of the study, or None"),
    ("only_enqueued", bool, "True or False"),
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
    """Check that every field of a study has the right type, and that the trainer's module exists.

    Parameters
    ----------
    study : the declared study.

    Raises
    ------
    UserError : names the first wrong field, and what to give instead.
    """
    for declared in (study, study.sampler, study.pruner, study.share):
        if (mistake := mistake_in(declared)) is not None:
            raise UserError(mistake)
    for name, kind, example in _KINDS:
        value = getattr(study, name)
        if not isinstance(value, kind):
            raise UserError(f"{name}={shown(value)}: give {example}")
    enqueued = [("enqueue", settings) for settings in study.enqueue or ()]
    for name, settings in [("base", study.base), *enqueued]:
        if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
            raise UserError(
                f"{name}: {shown(settings)}: give a mapping such as {{'model.width': 64}}"
            )
    check_dimensions(study.space or {})
    module, colon, function = study.trainer.partition(":")
    if not colon or not function or not _is_there(module):
        raise UserError(
            f"trainer={shown(study.trainer)}: there is no such module to import; give "
            "'module:function', e.g. 'mmsr.training:train'"
        )


def _is_there(module: str) -> bool:
    """Whether a module exists; only the packages that contain it are imported for that."""
    try:
        return find_spec(module) is not None
    except Exception:  # whatever the packages that contain it raise at import
        return False


def read_budget(
    given: dict[str, Any], resources: Resources, options: Options | None = None
) -> Budget:
    """The budget from its limits.

    Parameters
    ----------
    given : hours by kind (`hours`, `cpu_hours`, `gpu_hours`); None sets no limit.
    resources : what each trial gets.
    options : the command line, which may have given some; None if all come from it.

    Raises
    ------
    UserError : a limit is not a positive number, or limits something that trials do not use.
    """
    for kind, limit in given.items():
        option = said(kind, options)
        if limit is not None and (not is_number(limit) or limit <= 0):
            raise UserError(f"{option}{shown(limit)}: give a number of hours above 0, e.g. 1.5")
        used = {"cpu_hours": resources.cpu, "gpu_hours": resources.gpu}.get(kind, 1.0)
        if limit is not None and not used and not resources.auto:
            raise UserError(
                f"{option}{limit:g}: trials use no such hours (each gets {resources}), so the "
                "budget would never be used up; give --hours, or other resources"
            )
    return Budget(**given)


def said(name: str, options: Options | None) -> str:
    """What a value came from, as an error begins: the option, else the argument in the file.

    Parameters
    ----------
    name : the field of both.
    options : the command line; None if the value comes from it.
    """
    if options is None or getattr(options, name) is not None:
        return f"--{name.replace('_', '-')} "
    return f"{name}="


def at_least_one(what: str, given: Any, default: Any) -> int:
    """A whole number of at least 1, or the default if none is given.

    Parameters
    ----------
    what : what stands before the value in the error, e.g. `trials=`.
    given : the number; None takes the default.
    default : the number to take then.

    Raises
    ------
    UserError : it is not a whole number of at least 1.
    """
    value = default if given is None else given
    check_whole(what, value, 1)
    return int(value)


def n_trials(
    study: Declaration,
    options: Options,
    sampler: Sampler,
    contenders: Sequence[Contender],
    share: Share,
) -> int:
    """The number of trials: as given, else all settings of a grid, else 20 of each model.

    Parameters
    ----------
    study, options : the study file and its command line; the command line wins.
    sampler : the search method.
    contenders : the models, with their search spaces.
    share : how trials are shared out among them.

    Raises
    ------
    UserError : it is not a whole number of at least 1, or the grid is too large.
    """
    given = options.trials if options.trials is not None else study.trials
    if not sampler.systematic:
        default = share.all_trials(len(contenders), _TRIALS)
        return at_least_one(said("trials", options), given, default)
    every = chain.from_iterable(all_settings(one.space, one.base) for one in contenders)
    size = sum(1 for _ in islice(every, _LARGEST_GRID + 1))
    if size > _LARGEST_GRID:
        raise UserError(
            f"sampler: the grid has over {_LARGEST_GRID:,} settings: give fewer dimensions or "
            "larger steps, or choose another sampler"
        )
    return at_least_one(said("trials", options), given, size)


def seed_of(study: Declaration, options: Options) -> int:
    """Seed of the proposals; the command line wins over the study file.

    Parameters
    ----------
    study, options : the study file and its command line.

    Raises
    ------
    UserError : it is not a whole number of at least 0.
    """
    seed = study.seed if options.seed is None else options.seed
    check_whole(said("seed", options), seed, 0, below=2**63)
    return seed


def time_limit(study: Declaration, options: Options) -> float:
    """The most seconds that a trial may train; infinite if there is no limit.

    Parameters
    ----------
    study, options : the study file and its command line.

    Raises
    ------
    UserError : the limit is not a positive number.
    """
    hours = study.trial_hours if options.trial_hours is None else options.trial_hours
    if hours is None:
        return math.inf
    if not is_number(hours) or hours <= 0:
        raise UserError(f"{said('trial_hours', options)}{shown(hours)}: give a number above 0")
    return 3600.0 * hours


def own_budget(study: Declaration, options: Options, resources: Resources) -> Budget:
    """The budget of the whole study; the command line wins over the study file.

    Parameters
    ----------
    study, options : the study file and its command line.
    resources : what each trial gets.
    options : the command line, which may have given some; None if all come from it.

    Raises
    ------
    UserError : a limit is not a positive number, or limits something that trials do not use.
    """
    own = {kind: getattr(study, kind) for kind in KINDS}
    given = {kind: value for kind in KINDS if (value := getattr(options, kind)) is not None}
    return read_budget({**own, **given}, resources, options)

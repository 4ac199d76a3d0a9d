"""Search spaces: what a study varies, declared by dotted config key.

A space is a mapping such as ``{"graph.n_codes": Int(10, 50, step=10)}``. A dimension with `when=`
exists only if the named keys have the named values; a tuple names several values, any of which will
do. A proposal never has more links than codes: `graph.links_per_item` is cut to the number of codes
(see `apply`), and the trial's config records the value that was run.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from mmsr.config import Config
from mmsr.dimensions.base import Clash, Dimension, is_same, meets, under
from mmsr.dimensions.kinds import Choice
from mmsr.errors import UserError, shown, unknown
from mmsr.numbers import is_whole
from mmsr.study.search.declarations import check_dimensions
from mmsr.study.storage.attributes import parameter

if TYPE_CHECKING:
    from optuna import Trial

LINKS = "graph.links_per_item"
MODEL = "model.name"
_LOSS = "training.loss.name"
_BOUND = {MODEL: MODEL, _LOSS: MODEL, "training.label_smoothing": _LOSS}
Space = Mapping[str, Dimension]


def check_space(space: Space, base: Config) -> None:
    """Check that every value of every dimension makes a valid config.

    Parameters
    ----------
    space : the search space.
    base : the config that it varies.

    Raises
    ------
    UserError : names the first dimension for which that is not so, and why.
    """
    check_dimensions(space)
    for key, dimension in _ordered(space):
        for context, value in product(_with_bound(space, key, base), dimension.corners()):
            try:
                apply(base, {**context, key: value})
            except UserError as error:
                at = f" with {MODEL}={shown(context[MODEL])}" if MODEL in context else ""
                raise UserError(f"space: {key}={shown(value)}{at}: {_bare(error)}") from None


def _with_bound(space: Space, key: str, base: Config) -> list[dict[str, Any]]:
    """`_contexts`, and all values of the key beside some values of which alone a key is valid."""
    contexts = _contexts(space, key, base)
    other = _BOUND.get(key, MODEL if key.startswith("model.") else key)
    if other == key or other not in space or any(other in context for context in contexts):
        return contexts
    pairs = product(contexts, _with_bound(space, other, base))
    met = [
        c | outer for c, outer in pairs if all(is_same(c.get(k, v), v) for k, v in outer.items())
    ]
    return [{**c, other: value} for c in met for value in space[other].corners()] or contexts


def check_settings(space: Space, base: Config, settings: Mapping[str, Any]) -> Config:
    """Check settings that are to be tried first, and return their config.

    Parameters
    ----------
    space : the search space.
    base : the config that it varies.
    settings : values by dotted config key.

    Raises
    ------
    UserError : a key or value lies outside the space, or the combination is invalid.
    """
    for key, value in settings.items():
        if key not in space:
            raise UserError(f"enqueue: {unknown('dimension of the space', key, space)}")
        dimension = space[key]
        if not dimension.contains(value):
            raise UserError(f"enqueue: {key}={shown(value)} is outside the space: {dimension}")
        if not _exists(dimension, settings, base.flat()):
            raise UserError(f"enqueue: {key} exists only{under(dimension.when)}")
    try:
        return base.replace(settings)
    except UserError as error:
        raise UserError(f"enqueue: {_bare(error)}") from None


def problem_outside(space: Space, given: Mapping[str, Any]) -> str | None:
    """Why values that another client has enqueued cannot be proposed; None if they can.

    Parameters
    ----------
    space : the search space.
    given : values by dotted config key, as Optuna stores them.
    """
    for key, value in given.items():
        if key not in space:
            return str(unknown("dimension of the space", key, space))
        dimension = space[key]
        if isinstance(dimension, Choice):
            kept = map(dimension.stored, dimension.options)
            inside = any(is_same(value, option) for option in kept)
        else:  # a client that writes JSON may write 8 as 8.0
            whole = isinstance(value, float) and value.is_integer()
            inside = dimension.contains(int(value) if whole else value)
        if not inside:
            return f"{key}={reprlib.repr(value)} is outside the space: {dimension}"
    return None


def propose(trial: Trial, space: Space, base: Config, model: str | None = None) -> dict[str, Any]:
    """Ask Optuna for a value of every dimension that exists under the values chosen so far.

    Parameters
    ----------
    trial : Optuna's trial, which chooses.
    space, base : the search space, and the config that it varies.
    model : the model of the trial in a study of several, whose parameters have its name.

    Raises
    ------
    Clash : the trial, or another one of its study, has a parameter with another distribution.
    """
    settings, flat = dict[str, Any](), base.flat()
    for key, dimension in _ordered(space):
        if _exists(dimension, settings, flat):
            try:
                settings[key] = dimension.suggest(trial, parameter(model, key))
            except ValueError as error:
                raise Clash(parameter(model, key), str(error)) from error
    return settings


def all_settings(space: Space, base: Config) -> Iterator[dict[str, Any]]:
    """Every setting of a finite space, once.

    Settings come in the order of the declaration; the last dimension varies fastest. A setting
    leaves out dimensions that do not exist under its other values.

    Parameters
    ----------
    space : the search space.
    base : the config that it varies.
    """
    ordered, flat = _ordered(space), base.flat()

    def below(place: int, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if place == len(ordered):
            yield settings
            return
        key, dimension = ordered[place]
        if not _exists(dimension, settings, flat):
            yield from below(place + 1, settings)
            return
        for value in dimension.values():
            yield from below(place + 1, {**settings, key: value})

    return below(0, {})


def is_finite(space: Space) -> bool:
    """Whether no dimension of `space` is continuous."""
    return all(dimension.size() is not None for dimension in space.values())


def settings_of(space: Space, base: Config, flat: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in this space that lead to a given config.

    Parameters
    ----------
    space : the search space.
    base : the config that it varies.
    flat : the given config, by dotted key.

    Raises
    ------
    UserError : the config lacks a key of the space, or its value lies outside.
    """
    fixed, settings = base.flat(), dict[str, Any]()
    for key, dimension in _ordered(space):
        if not _exists(dimension, settings, fixed):
            continue
        if key not in flat:
            raise UserError(f"has no {key}")
        if not dimension.contains(flat[key]):
            raise UserError(f"has {key}={flat[key]!r}, which is outside {dimension}")
        settings[key] = flat[key]
    return settings


def apply(base: Config, settings: Mapping[str, Any]) -> Config:
    """The config with these settings; links per item are cut to the number of codes.

    Parameters
    ----------
    base : the config to change.
    settings : values by dotted config key.

    Raises
    ------
    UserError : an unknown key, a wrong type or a value out of range.
    """
    links = settings.get(LINKS, base.graph.links_per_item)
    plain = base.replace({**settings, LINKS: 1})
    if is_whole(links):
        n = plain.graph.n_codes
        links = min(links, n if isinstance(n, int) else min(n.values()))
    return plain.replace({LINKS: links})


def stored(space: Space, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as Optuna stores them.

    Parameters
    ----------
    space : the search space.
    settings : values by dotted config key.
    """
    return {key: space[key].stored(value) for key, value in settings.items()}


def extreme_graphs(space: Space, base: Config) -> Iterator[Config]:
    """Configs whose graphs to check against a data set: each graph dimension at both of its ends.

    Parameters
    ----------
    space : the search space.
    base : the config that it varies.
    """
    names = space[MODEL].corners() if MODEL in space else (base.model.name,)
    for name in names:
        yield base.replace({MODEL: name})
        for key, dimension in space.items():
            if key.startswith("graph."):
                for context, value in product(_contexts(space, key, base), dimension.corners()):
                    yield apply(base, {MODEL: name, **context, key: value})


def _ordered(space: Space) -> list[tuple[str, Dimension]]:
    """Dimensions in the order of declaration, but each after those that its `when` names."""
    left, ordered = dict(space), list[tuple[str, Dimension]]()
    while left:
        ready = [key for key, dimension in left.items() if not (dimension.when.keys() & left)]
        if not ready:
            raise UserError(f"space: the conditions of {', '.join(left)} form a circle")
        ordered += [(key, left.pop(key)) for key in ready]
    return ordered


def _exists(dimension: Dimension, settings: Mapping[str, Any], flat: Mapping[str, Any]) -> bool:
    """Whether a dimension exists; the base's own keys under `model` are no other model's."""
    if settings.get(MODEL, flat[MODEL]) != flat[MODEL]:
        flat = {key: value for key, value in flat.items() if not key.startswith("model.")}
    known = {**flat, **settings}
    return all(k in known and meets(known[k], value) for k, value in dimension.when.items())


def _contexts(space: Space, key: str, base: Config) -> list[dict[str, Any]]:
    """All values of other keys under which a dimension exists, with those keys' own conditions."""
    contexts: list[dict[str, Any]] = [{}]
    for other, condition in space[key].when.items():
        met = _contexts_of_condition(space, key, other, condition, base)
        contexts = [{**context, **more} for context, more in product(contexts, met)]
    return contexts


def _contexts_of_condition(
    space: Space, key: str, other: str, condition: Any, base: Config
) -> list[dict[str, Any]]:
    if other not in space:
        value = base.flat().get(other)
        if not meets(value, condition):
            raise UserError(
                f"space: {key} never exists: its condition {other}={shown(condition)} is not met "
                f"by the config, which has {shown(value)}"
            )
        return [{other: value}]
    outer = _contexts(space, other, base)
    values = condition if isinstance(condition, tuple) else (condition,)
    proposed = [value for value in values if space[other].contains(value)]
    if not proposed:
        raise UserError(f"space: {key}: {other}={shown(condition)} is never proposed")
    for value in values:  # it may name a value that this space never proposes, but none misspelt
        try:
            apply(base, {**outer[0], other: value})
        except UserError as error:
            raise UserError(f"space: {key}: under {other}={shown(value)}: {_bare(error)}") from None
    return [{**context, other: value} for context, value in product(outer, proposed)]


def _bare(error: UserError) -> str:
    return str(error).removeprefix("config: ")

"""Dotted config keys: to set one, to list all, and to name the one that an error is on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mmsr.config.loss import LOSS_NAMES
from mmsr.config.mmsr import AGGREGATOR_NAMES
from mmsr.config.models import settings_class
from mmsr.config.plain_yaml import read_plain
from mmsr.errors import UserError, shown, unknown

_UNIONS = {"model.aggregator.name": AGGREGATOR_NAMES, "training.loss.name": LOSS_NAMES}
"""Keys that name one of several parts, each with settings of its own."""
Known = Callable[[Mapping[str, Any]], Iterable[str]]
"""Takes what the keys of `_UNIONS` name; returns all config keys that there are then."""


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn `KEY=VALUE` arguments into settings for `Config.replace`; values are read as YAML.

    Parameters
    ----------
    pairs : the arguments, e.g. ``["graph.n_codes=30"]``, each key once.

    Raises
    ------
    UserError : an argument without `=`, a key that is given twice, or a value that is not YAML or
        can be read in two ways.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UserError(f"--set {shown(pair)}: write KEY=VALUE, e.g. --set graph.n_codes=30")
        if key in settings:
            raise UserError(f"--set {shown(pair)}: {shown(key)} is given twice: keep one")
        settings[key] = read_plain(text, f"--set {shown(pair)}")
    return settings


def set_key(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a key of a config's tree; a name that changes drops the settings beside it.

    Parameters
    ----------
    tree : the whole tree; changed in place.
    key : dotted key.
    value : its new value.

    Raises
    ------
    UserError : there is no such key, or no model of that name.
    """
    *parents, leaf = key.split(".")
    node = tree
    for parent in parents:
        if not isinstance(node.get(parent), dict):
            raise unknown("config key", key, leaves(tree))
        node = node[parent]
    if leaf == "name" and isinstance(value, str) and node.get("name", value) != value:
        node.clear()
        if key == "model.name":
            node.update(settings_class(value)(name=value).model_dump(mode="json"))
    elif leaf not in node and "name" not in node:  # with a name, the name decides which keys exist
        raise unknown("config key", key, leaves(tree))
    node[leaf] = value


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """All values of a tree by dotted key.

    Parameters
    ----------
    tree : nested mappings.
    prefix : what stands before every key.
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and key != "n_codes":
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def explain(error: ValidationError, source: str, known: Known, part: str = "") -> str:
    """Describe the first problem of a config in one line.

    Parameters
    ----------
    error : what pydantic found.
    source : where the values come from.
    known : lists the config keys that there are, for a key that is not among them.
    part : the part of the config that was checked, e.g. `model`; empty for the whole.
    """
    first = error.errors(include_url=False)[0]
    tags = {*AGGREGATOR_NAMES, *LOSS_NAMES, "int", "constrained-int"}
    loc = (part, *first["loc"]) if part else first["loc"]
    key = ".".join(str(place) for place in loc if str(place) not in tags)
    if first["type"] == "extra_forbidden":
        named = {key: place for key, names in _UNIONS.items() for place in loc if place in names}
        return f"{source}: {unknown('config key', key, known(named))}"
    if first["type"] == "missing":
        return f"{source}: {key} is missing"
    message = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    if not key:  # of the config as a whole
        return f"{source}: {message}"
    if isinstance(given, dict):
        return f"{source}: {key}: {message}"
    if first["type"] == "int_type" and isinstance(given, float) and given.is_integer():
        return f"{source}: {key}: {message}: write {given:.0f} for {given!r}"
    if first["type"] == "string_type" and isinstance(given, int | float):
        message += f": write it in quotes, on a command line \"{key}='{shown(given)}'\""
    if first["type"] == "tuple_type":
        example = given if isinstance(given, str) and len(given) < 30 else "image, text"
        message = f"Input should be a list: write [{example}]"
    return f"{source}: {key}: {message} (given: {shown(given)})"

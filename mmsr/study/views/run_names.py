"""Names and params of runs on the tracking server: what tells a trial from others of its study."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

from mmsr.config import Config
from mmsr.study.search.space import MODEL
from mmsr.study.storage.definition import Definition

SEPARATOR = " · "
_LONGEST = 90
"""Most characters of a name; a list of runs shows about half of them."""
_ORDER, _FUSION = "model.aggregator.order", "model.fusion"
_BARE = ("model.aggregator.name", _ORDER, _FUSION, "model.readout.name")
"""Keys whose values speak for themselves."""
_CODES, _LINKS = "graph.n_codes", "graph.links_per_item"
_SHORT: Mapping[str, Callable[[Any], str]] = {
    "model.width": lambda value: f"d{value}",
    "training.learning_rate": lambda value: f"lr {number(value)}",
    "training.batch_size": lambda value: f"batch {value}",
    "model.layers": lambda value: f"{value} layer{'' if value == 1 else 's'}",
}


def run_name(config: Config, settings: Mapping[str, Any], *, model: bool = False) -> str:
    """A name that can be read in a list, e.g. `ni_hohe · 30×3 · d128 · lr 2e-3`.

    It has the settings that the study varies: the structure first, then sizes and the learning
    rate, then all others, shortest first.

    Parameters
    ----------
    config : the trial's config.
    settings : values by dotted config key that the study varies, as far as this trial has them.
    model : begin with the model's name, in a study of several.
    """
    flat = config.flat()
    left = {key: flat.get(key, value) for key, value in settings.items() if key != MODEL}
    if _ORDER in left and left.get(_FUSION) == "adaptive":  # no other fusion has an order
        del left[_FUSION]
    parts = [config.model.name] if model or MODEL in settings else []
    parts += [str(left.pop(key)) for key in _BARE if key in left]
    if left.keys() & {_CODES, _LINKS}:
        codes = left.pop(_CODES, flat.get(_CODES))
        parts.append(f"{_listed(codes)}×{left.pop(_LINKS, flat.get(_LINKS))}")
    parts += [_SHORT[key](left.pop(key)) for key in _SHORT if key in left]
    rest = sorted((_setting(key, value) for key, value in left.items()), key=len)
    name = SEPARATOR.join([*parts, *rest]) or config.model.name
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1].rstrip(' ·')}…"


def numbered(name: str, number: int) -> str:
    """The name of a trial's run, behind the number by which commands know the trial.

    Lists cut long names at the end, so the number comes first.

    Parameters
    ----------
    name : the name.
    number : the trial's number.
    """
    return f"#{number}{SEPARATOR}{name}"


def params_of(
    config: Config, settings: Mapping[str, Any], varied: Container[str]
) -> dict[str, Any]:
    """A trial's params: its config without the dimensions that do not exist in this trial.

    Parameters
    ----------
    config : the trial's config.
    settings : values by dotted config key of the dimensions that exist in it.
    varied : keys of all dimensions of the study's space.
    """
    return {
        key: value
        for key, value in config.flat().items()
        if key in settings or key not in varied or key == _LINKS
    }


def varied_in(definition: Definition, model: str) -> frozenset[str]:
    """Config keys that a study varies in the trials of one model.

    Parameters
    ----------
    definition : the study's.
    model : the model; it makes a difference in a study of several.
    """
    return frozenset((definition.of_model(model) if definition.models else definition).space)


def number(value: float) -> str:
    """A number in a few characters: `2e-3`, `0.4`, `1.5e-4`.

    Parameters
    ----------
    value : the number.
    """
    if value == 0 or 1e-2 <= abs(value) < 1e4:
        return f"{value:.3g}"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"


def _setting(key: str, value: Any) -> str:
    parts = key.split(".")
    leaf = ".".join(parts[-2:]) if parts[-1] in ("name", "rate", "per") else parts[-1]
    if key == "model.aggregator.dropout":
        leaf = "attention dropout"
    leaf = leaf.replace("_", " ")
    if isinstance(value, bool):
        return leaf if value else f"no {leaf}"
    return f"{leaf} {number(value) if isinstance(value, float) else value}"


def _listed(codes: Any) -> str:
    return "/".join(map(str, codes.values())) if isinstance(codes, Mapping) else str(codes)

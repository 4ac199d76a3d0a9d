"""Checks of dimensions as a study file declares them, each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import islice
from typing import Any

from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice, Float, Int
from mmsr.dimensions.mistakes import mistake_in
from mmsr.errors import UserError, shown

_NOT_VARIED = {
    "dataset": "trials on other data cannot be compared; run a study for each",
    "training.select_by": "it is the study's objective",
    "training.threads": "it follows the study's resources",
}


def check_dimensions(space: Mapping[str, Dimension]) -> None:
    """Check each dimension by itself: its key, and what is declared for it.

    Parameters
    ----------
    space : the search space, as the study file has it.

    Raises
    ------
    UserError : names the first dimension with a mistake, and what to write.
    """
    for key, dimension in space.items():
        if not isinstance(key, str):
            raise UserError(f"space: {shown(key)}: give a config key such as 'model.width'")
        if not isinstance(dimension, Int | Float | Choice):
            raise UserError(f"space: {key}: {shown(dimension)}: {_dimension_for(key, dimension)}")
        if key in _NOT_VARIED:
            raise UserError(f"space: {key} cannot be varied: {_NOT_VARIED[key]}")
        if (problem := dimension.problem()) is not None:
            empty = isinstance(dimension, Choice) and not dimension.options
            declared = "" if empty or mistake_in(dimension) else f"{shown(dimension)}: "
            raise UserError(f"space: {key}: {declared}{problem}")


def _dimension_for(key: str, value: Any) -> str:
    """What to write in place of a value that is no dimension."""
    if isinstance(value, range) and value:
        return f"write Int({value[0]}, {value[-1]}, step={value.step})"
    if isinstance(value, Sequence | Set) and not isinstance(value, str | bytes) and value:
        options = [shown(one) for one in islice(value, 5)]
        return f"write Choice({', '.join(options)}{', …' if len(value) > len(options) else ''})"
    fixed = f"base={{{key!r}: {shown(value)}}}"
    return f"write Int(…), Float(…) or Choice(…), or fix the value by {fixed}"

"""`Dimension`: what every dimension of a search space offers; conditions and stored values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from mmsr.errors import shown
from mmsr.numbers import is_number

if TYPE_CHECKING:
    from optuna import Trial


class Dimension(Protocol):
    """One config key that a study varies, as its values."""

    @property
    def when(self) -> Mapping[str, Any]:
        """Values of other keys under which the dimension exists; a tuple means any of them."""

    def problem(self) -> str | None:
        """What is wrong with the declaration; None if nothing is."""

    def suggest(self, trial: Trial, key: str) -> Any:
        """Ask Optuna for a value.

        Parameters
        ----------
        trial : the trial that gets the value.
        key : the config key, Optuna's name of the parameter.
        """

    def contains(self, value: Any) -> bool:
        """Whether `value` may be proposed."""

    def corners(self) -> tuple[Any, ...]:
        """The values to check: if these are valid in a config, all are."""

    def size(self) -> int | None:
        """Number of values; None if there are infinitely many."""

    def values(self) -> Iterator[Any]:
        """All values in order, of a dimension with a finite number of them."""

    def stored(self, value: Any) -> Any:
        """`value` as Optuna stores it."""


class Clash(ValueError):
    """Optuna takes no value of a parameter with the distribution that the space gives it.

    Parameters
    ----------
    key : the parameter.
    reason : Optuna's.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


def meets(value: Any, condition: Any) -> bool:
    """Whether a value meets a condition of `when`.

    Parameters
    ----------
    value : value of the key that the condition is on.
    condition : the value that it must have, or a tuple of values of which it must have one.
    """
    return value in condition if isinstance(condition, tuple) else bool(value == condition)


def under(when: Mapping[str, Any]) -> str:
    """The conditions in words, e.g. ` under model.readout=last`; empty if there are none.

    Parameters
    ----------
    when : the conditions, by config key.
    """
    words = [
        f"{key}={' or '.join(map(str, value)) if isinstance(value, tuple) else value}"
        for key, value in when.items()
    ]
    return " under " + ", ".join(words) if words else ""


def as_stored(value: Any) -> Any:
    """A value as Optuna stores it: lists and mappings as JSON text.

    Parameters
    ----------
    value : a plain value, a list or a mapping.

    Raises
    ------
    TypeError, ValueError, RecursionError : it is none of these.
    """
    plain = value is None or isinstance(value, bool | int | float | str)
    return value if plain else json.dumps(value, sort_keys=True)


def is_same(value: Any, option: Any) -> bool:
    """Whether a value stands for an option: 0 does for 0.0, but True does not for 1.

    Parameters
    ----------
    value : what was given, e.g. a number that another program has written as JSON; what cannot be
        stored is no option.
    option : a value that may be proposed.
    """
    if not is_plain(value):  # an array would be compared number by number
        return False
    return isinstance(value, bool) is isinstance(option, bool) and bool(value == option)


def is_plain(value: Any) -> bool:
    """Whether `value` can be stored: a plain value, or a list or a mapping of such."""
    if isinstance(value, float):
        return is_number(value)
    try:
        return isinstance(as_stored(value), bool | int | float | str | None) and bool(repr(value))
    except (TypeError, ValueError, RecursionError):
        return False


def problem_of_when(when: Any) -> str | None:
    """What is wrong with the conditions of a dimension; None if nothing is.

    Parameters
    ----------
    when : what was given for the conditions.
    """
    if not isinstance(when, Mapping) or not all(isinstance(key, str) for key in when):
        return f"when={shown(when)}: give a mapping by config key"
    for key, condition in when.items():
        values = condition if isinstance(condition, tuple) else (condition,)
        if not values or not all(map(is_plain, values)):
            return f"when: {key}={shown(condition)}: give a plain value, or a tuple of them"
    return None

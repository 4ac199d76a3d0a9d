"""What counts as a number in a declaration: Python takes True for 1."""

from __future__ import annotations

import math
from typing import Any

from mmsr.errors import UserError


def check_whole(what: str, value: Any, least: int) -> None:
    """Check that a value is a whole number of at least `least`.

    Parameters
    ----------
    what : the value's name, for the error.
    value : what was given.
    least : the smallest value allowed.

    Raises
    ------
    UserError : it is not.
    """
    if not is_whole(value) or value < least:
        raise UserError(f"{what}={value!r}: give a whole number of at least {least}")


def is_whole(value: Any) -> bool:
    """Whether `value` is a whole number; True and False do not count."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number; True and False do not count."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False

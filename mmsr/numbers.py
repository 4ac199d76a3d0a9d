"""What counts as a number in a declaration: Python takes True for 1."""

from __future__ import annotations

import math
from typing import Any

from mmsr.errors import UserError, shown


def check_whole(what: str, value: Any, least: int, below: int = 2**31) -> None:
    """Check that a value is a whole number of at least `least`.

    Parameters
    ----------
    what : what stands before the value in the error, e.g. `trials=`.
    value : what was given.
    least, below : the smallest value allowed, and the first that is too large.

    Raises
    ------
    UserError : it is not.
    """
    if not is_whole(value) or not least <= value < below:
        most = f" and below {below:,}" if is_whole(value) and value > least else ""
        raise UserError(f"{what}{shown(value)}: give a whole number of at least {least}{most}")


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

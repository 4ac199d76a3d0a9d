"""What counts as a number in a declaration: Python takes True for 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmsr.errors import UserError, shown

LARGEST = 2**53
"""The largest whole number in a config or a search space: what files and databases that keep
numbers as float64 give back as it was."""
_WRITABLE_BITS = 14_000
"""About 4,200 decimal digits; Python writes 4,300 at most."""


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


def has_unwritable(tree: Any) -> bool:
    """Whether a tree of plain values holds a whole number with more digits than Python writes.

    Parameters
    ----------
    tree : mappings, lists and values.
    """
    if isinstance(tree, Mapping):
        return any(has_unwritable(part) for pair in tree.items() for part in pair)
    if isinstance(tree, (list, tuple)):
        return any(map(has_unwritable, tree))
    return isinstance(tree, int) and tree.bit_length() > _WRITABLE_BITS


def alike(first: Any, second: Any) -> bool:
    """Whether two values are equal, up to the rounding of real numbers.

    >>> alike(3 * 0.1, 0.3), alike(0.3, 0.30001), alike(None, 0.0)
    (True, False, False)
    """
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=1e-12)
    return bool(first == second)

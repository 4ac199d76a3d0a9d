"""Where a split by time begins, found a span of interactions at a time.

The moments of a large data set lie in mapped files, of which no copy is made in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Moments = NDArray[np.int64 | np.float64]

_SPAN = 1 << 20
"""Moments that are looked at once."""
_DIGITS = (48, 32, 16, 0)
"""Places of the four digits of 16 bits of a key, in bits."""
_SIGN = 1 << 63


def moment_leaving(times: Moments, share: float, before: float | None = None) -> float:
    """Earliest moment that leaves at most a share of the moments at or after it.

    Where that is none, as too many are the last one, it is the last one.

    Parameters
    ----------
    times : moments in any order, one or more.
    share : between 0 and 1.
    before : if given, only earlier moments count.
    """
    n = sum(map(len, _spans(times, before)))
    last_before = _ranked(times, n - 1 - int(share * n), before)
    later = (part[part > last_before] for part in _spans(times, before))
    return min((part.min().item() for part in later if len(part)), default=last_before)


def several_before(times: Moments, moment: float) -> bool:
    """Whether there are two different moments or more before one.

    Parameters
    ----------
    times : moments in any order.
    moment : the one.
    """
    parts = (part for part in _spans(times, moment) if len(part))
    return len({end for part in parts for end in (part.min().item(), part.max().item())}) > 1


def count_from(times: Moments, offsets: NDArray[np.int64], moment: float) -> NDArray[np.int64]:
    """How many of each user's interactions are at a moment or later.

    Parameters
    ----------
    times : moments, one user after the other.
    offsets : int64 [n_users + 1], where the users begin; each has one interaction or more.
    moment : the moment.
    """
    counts = np.empty(len(offsets) - 1, dtype=np.int64)
    first = 0
    while first < len(counts):
        end = int(np.searchsorted(offsets, offsets[first] + _SPAN, side="right")) - 1
        end = max(end, first + 1)  # of a history that is longer, all at once
        begin = offsets[first]
        late = times[begin : offsets[end]] >= moment
        counts[first:end] = np.add.reduceat(late, offsets[first:end] - begin, dtype=np.int64)
        first = end
    return counts


def _spans(times: Moments, before: float | None) -> Iterator[Moments]:
    for start in range(0, len(times), _SPAN):
        part = times[start : start + _SPAN]
        yield part if before is None else part[part < before]


def _ranked(times: Moments, place: int, before: float | None) -> float:
    """The moment at a place in ascending order: its key is found digit by digit."""
    key = 0
    for shift in _DIGITS:
        counts = np.zeros(1 << 16, dtype=np.int64)
        for part in _spans(times, before):
            digits = _keys(part) >> np.uint64(shift)
            known = digits >> np.uint64(16) == key
            places = (digits[known] & np.uint64(0xFFFF)).astype(np.int64)
            counts += np.bincount(places, minlength=1 << 16)
        ends = counts.cumsum()
        digit = int(np.searchsorted(ends, place, side="right"))
        place -= int(ends[digit] - counts[digit])
        key = key << 16 | digit
    return _moment_of(key, times.dtype)


def _keys(times: Moments) -> NDArray[np.uint64]:
    """Whole numbers without sign in the order of the moments: of their 64 bits."""
    bits = np.ascontiguousarray(times).view(np.uint64)
    if times.dtype.kind == "i":
        return bits ^ np.uint64(_SIGN)
    return np.where(bits >> np.uint64(63), ~bits, bits ^ np.uint64(_SIGN))


def _moment_of(key: int, dtype: np.dtype[np.int64 | np.float64]) -> float:
    bits = np.uint64(key ^ _SIGN if dtype.kind == "i" or key & _SIGN else key ^ (2**64 - 1))
    moment: float = bits.view(dtype).item()
    return moment

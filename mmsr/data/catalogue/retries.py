"""When a failed request is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_YEAR = 365 * 86_400.0


@dataclass(frozen=True)
class Retries:
    """How often a server is asked again, and after which pauses.

    Pauses double from one failure to the next, and half of each is random, so that clients that
    failed together do not come back together.

    Parameters
    ----------
    attempts : failures in a row after which it is given up; one that brings new bytes is none.
    first, longest : the first pause and the longest, in seconds.
    patience : the longest pause that a server may ask for, in seconds.
    sleep : waits for some seconds.
    chance : a random number in [0, 1).
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 60.0
    patience: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, at least one."""
        most = min(self.longest, self.first * 2.0 ** (failures - 1))
        return most * (1 + self.chance()) / 2


def wanted_pause(header: str | None, now: Callable[[], float] = time.time) -> float:
    """Seconds that a server's header Retry-After asks for, a year at most; 0 where it does not.

    Parameters
    ----------
    header : a number of seconds or a date.
    now : the time, in seconds since 1970.
    """
    if header is None:
        return 0.0
    try:
        if header.strip().isdecimal():
            wanted = float(header)
        else:
            wanted = parsedate_to_datetime(header).timestamp() - now()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, wanted), _YEAR)

"""Whether the timestamps of a table are moments, or only number the interactions of users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsr.data.importers.bounded.filters import spans_of_users
from mmsr.data.importers.times import Times
from mmsr.errors import UserError

NEARLY_ALL = 0.95
"""Share of users from which on consecutive timestamps are taken for positions."""


@dataclass(frozen=True)
class Positions:
    """Whether timestamps are moments, or only number the interactions of each user.

    Attributes
    ----------
    users : number of users with two interactions or more.
    numbered : how many of them have consecutive whole numbers from `first` on.
    first : the number at which most such users start.
    """

    users: int
    numbered: int
    first: float

    @classmethod
    def of(cls, users: NDArray[np.integer], times: Times) -> Positions:
        """Count the users whose timestamps are positions.

        Parameters
        ----------
        users : [n], the user of each interaction, ascending.
        times : the timestamps, n of them, ascending for each user; dates are moments, whatever they
            look like.
        """
        several, firsts = 0, []
        for span in spans_of_users(users):
            values = times.values[span]
            starts = np.flatnonzero(np.diff(users[span], prepend=-1))
            is_long = np.diff(starts, append=len(values)) > 1
            is_step = np.diff(values, prepend=values[:1]) == 1
            is_step[starts] = True
            consecutive = np.logical_and.reduceat(is_step, starts) & is_long
            several += int(is_long.sum())
            firsts.append(values[starts][consecutive])
        if times.dated or not sum(map(len, firsts)):
            return cls(several, 0, 0)
        moments, counts = np.unique(np.concatenate(firsts), return_counts=True)
        most = int(counts.argmax())
        return cls(several, int(counts[most]), moments[most].item())

    def __bool__(self) -> bool:
        return self.users > 1 and self.numbered >= NEARLY_ALL * self.users


def check_moments(found: Positions, source: object) -> None:
    """Check that moments can be compared between users, which the protocol `temporal` needs.

    Parameters
    ----------
    found : how many users have positions for timestamps.
    source : their table, whose text names it in the error.

    Raises
    ------
    UserError : the timestamps are positions in histories.
    """
    if found:
        raise UserError(
            f"{source}: the timestamps are positions, not moments: {found.numbered:,} of "
            f"{found.users:,} users have {found.first:g}, {found.first + 1:g}, {found.first + 2:g} "
            "and so on: give Unix times, or ISO dates if these numbers are days; or use --protocol "
            "ratio or leave-one-out"
        )

"""Timestamps that only number a user's interactions cannot be split at one moment for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsr.data import ImportSettings, Sources, prepare
from mmsr.data.importers.bounded.positions import Positions
from mmsr.data.importers.times import Times
from mmsr.errors import UserError

WriteTable = Callable[..., Path]
TEMPORAL = ImportSettings(protocol="temporal")
N_USERS = 100


def table(exceptions: int = 0, first: int = 0) -> dict[str, list[Any]]:
    """Interactions of 100 users by position, of whom some have times instead."""
    rows = [
        (f"u{user}", f"i{(user + step) % 9}", first + (step if user >= exceptions else 7 * step))
        for user in range(N_USERS)
        for step in range(5 + user % 3)
    ]
    return dict(
        zip(("user_id", "item_id", "timestamp"), map(list, zip(*rows, strict=True)), strict=True)
    )


@pytest.mark.parametrize("first", [0, 1, 100])
@pytest.mark.parametrize("kind", [int, float, str])
def test_positions_are_refused(first: int, kind: type, home: Path, write_table: WriteTable) -> None:
    columns = table(first=first)
    columns["timestamp"] = [kind(time) for time in columns["timestamp"]]
    message = (
        rf"the timestamps are positions, not moments: 100 of 100 users have {first}, {first + 1}, "
        rf"{first + 2} and so on.*Unix times, or ISO dates.*--protocol ratio or leave-one-out"
    )
    path = write_table("r.csv", columns)
    with pytest.raises(UserError, match=message):
        prepare("d", Sources(path), TEMPORAL)
    for protocol in ("ratio", "leave-one-out"):
        assert prepare(protocol, Sources(path), ImportSettings(protocol=protocol)).fresh


def test_the_core_filter_hides_nothing(home: Path, write_table: WriteTable) -> None:
    """What it removes leaves gaps in the numbers of a history."""
    columns = table()
    rare = [place for place, time in enumerate(columns["timestamp"]) if time == 2][:50:10]
    for place in rare:
        columns["item_id"][place] = f"rare {place}"
    with pytest.raises(UserError, match="100 of 100 users have 0, 1, 2"):
        prepare(
            "d", Sources(write_table("r.csv", columns)), ImportSettings(protocol="temporal", core=2)
        )


@pytest.mark.parametrize(("exceptions", "refused"), [(5, True), (6, False)])
def test_nearly_all_users_decide(
    exceptions: int, refused: bool, home: Path, write_table: WriteTable
) -> None:
    sources = Sources(write_table("r.csv", table(exceptions)))
    if refused:
        with pytest.raises(UserError, match="95 of 100 users have 0, 1, 2"):
            prepare("d", sources, TEMPORAL)
    else:
        assert prepare("d", sources, TEMPORAL).fresh


def test_days_that_all_users_share_pass_as_dates(home: Path, write_table: WriteTable) -> None:
    """Everybody comes on each day from the first on: numbers would look like positions."""
    columns = table(first=1)
    columns["timestamp"] = [f"2026-01-{day:02d}" for day in columns["timestamp"]]
    assert prepare("d", Sources(write_table("r.csv", columns)), TEMPORAL).fresh


def test_users_who_begin_at_different_numbers_have_moments(
    home: Path, write_table: WriteTable, purchases: dict[str, list[Any]]
) -> None:
    assert prepare("d", Sources(write_table("r.csv", purchases)), TEMPORAL).fresh


@pytest.mark.parametrize(
    ("users", "times", "expected"),
    [
        ([0, 0, 1, 1], [0, 1, 0, 1], (2, 2, 0)),
        ([0, 0, 1, 1, 2], [5, 6, 5, 6, 5], (2, 2, 5)),
        ([0, 0, 1, 1], [0, 0, 0, 1], (2, 1, 0)),
        ([0, 0, 1, 1], [0, 2, 0, 1.5], (2, 0, 0)),
        ([0, 1], [0, 0], (0, 0, 0)),
    ],
)
def test_counts(users: list[int], times: list[float], expected: tuple[int, int, float]) -> None:
    found = Positions.of(np.array(users), Times(np.array(times), dated=False))
    assert (found.users, found.numbered, found.first) == expected


def test_one_user_has_nobody_to_share_moments_with() -> None:
    assert not Positions.of(np.zeros(5, int), Times(np.arange(5), dated=False))

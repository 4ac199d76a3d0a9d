"""The histories of a table of interactions, the obvious way: with pandas, all in memory."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Expected:
    """What an import keeps: the items of each user in the order of time, and what is left out."""

    histories: dict[str, list[str]]
    times: dict[str, list[float]]
    items: list[str]
    repeated: int
    outside: int


def expected(rows: list[tuple[str, str, float]], core: int) -> Expected:
    """Drop repeated rows, remove rare users and items until none is left, sort by time."""
    table = pd.DataFrame(rows, columns=["user", "item", "time"])
    once = table.drop_duplicates()
    kept = once
    while True:
        counts = [kept.groupby(name)[name].transform("size") for name in ("user", "item")]
        enough = (counts[0] >= core) & (counts[1] >= core)
        if enough.all():
            break
        kept = kept[enough]
    kept = kept.sort_values("time", kind="stable")
    by_user = kept.groupby("user", sort=True)
    return Expected(
        histories={user: group["item"].tolist() for user, group in by_user},
        times={user: group["time"].tolist() for user, group in by_user},
        items=sorted(kept["item"].unique(), key=str.encode),
        repeated=len(table) - len(once),
        outside=len(once) - len(kept),
    )

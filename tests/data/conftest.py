"""Helpers of the data tests: neutral tables from Python rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Columns = Mapping[str, Sequence[Any]]
WriteTable = Callable[[str, Columns], Path]


@pytest.fixture
def write_table(tmp_path: Path) -> WriteTable:
    """Write columns to a file in the format that its name says."""

    def write(name: str, columns: Columns) -> Path:
        path = tmp_path / name
        frame = pd.DataFrame({key: list(values) for key, values in columns.items()})
        base = name.removesuffix(".gz")
        if base.endswith((".csv", ".tsv")):
            frame.to_csv(path, index=False, sep="\t" if base.endswith(".tsv") else ",")
        elif base.endswith(".jsonl"):
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path)
        return path

    return write


@pytest.fixture
def purchases() -> dict[str, list[Any]]:
    """Interactions of 30 users with 12 items: everybody has 8, every item far more than 5.

    Users begin on three days, so their times are not mere positions.
    """
    pairs = [(user, step) for user in range(30) for step in range(8)]
    return {
        "user_id": [f"u{user}" for user, _ in pairs],
        "item_id": [f"i{(user * 5 + step * step) % 12}" for user, step in pairs],
        "timestamp": [100 + user % 3 + step for user, step in pairs],
    }

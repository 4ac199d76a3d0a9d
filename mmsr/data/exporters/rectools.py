"""Exports with RecTools' columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsr.data.dataset import Dataset
from mmsr.data.exporters.base import Exporter
from mmsr.data.exporters.histories import ExportedHistories
from mmsr.data.exporters.tables import (
    INTERACTIONS,
    features_guide,
    write_features,
    write_interactions,
    write_items,
)
from mmsr.data.progress import Reporter
from mmsr.data.storage import moments_of
from mmsr.errors import UserError

_GUIDE = """\
- `interactions.parquet`: RecTools' columns user_id, item_id, weight (always 1) and datetime, and
  split; a user's rows are in the order of time
- `items.parquet`: item_id and metadata of all items
{features}
In this folder, with RecTools 0.19:

    import pandas as pd
    from rectools.dataset import Dataset

    table = pd.read_parquet("interactions.parquet")
    train = Dataset.construct(table[table["split"] == "train"].drop(columns="split"))

{dates}
"""
_LATEST = 9_200_000_000
"""Seconds from 1970 to 2261, nearly the last that fit 64 bits as nanoseconds."""


class RecTools(Exporter):
    """Tables with the columns that `rectools.Columns` names, and a column `split`."""

    def check(self, dataset: Dataset) -> None:
        """Refuse dates that RecTools does not have."""
        moments = moments_of(dataset.table)
        if moments is not None:
            as_dates(moments.to_numpy(zero_copy_only=False))

    def write(self, folder: Path, histories: ExportedHistories, reporter: Reporter) -> None:
        """Write the tables."""
        more = {
            "weight": np.ones(len(histories.items), dtype=np.float32),
            "datetime": as_dates(histories.moments),
        }
        with reporter.stage("writing interactions", len(histories.items)) as advance:
            write_interactions(folder / INTERACTIONS, histories, more, advance)
        with reporter.stage("writing items and features"):
            write_items(folder, histories.dataset)
            write_features(folder, histories.dataset)

    def guide(self, histories: ExportedHistories) -> str:
        """The files, and how they become a data set of RecTools."""
        if histories.moments.dtype.kind == "M":
            dates = "`datetime` has the dates of the import."
        else:
            per_second = ticks_per_second(histories.moments)
            unit = {1: "seconds", 10**3: "milliseconds", 10**6: "microseconds"}
            dates = (
                f"`datetime` takes the numbers for {unit.get(per_second, 'nanoseconds')} since "
                "1970; if they are something else, only the order is right."
            )
        return _GUIDE.format(features=features_guide(histories.dataset), dates=dates)


def as_dates(moments: NDArray[Any]) -> NDArray[np.datetime64]:
    """Moments as datetime64[ns], which RecTools turns all dates into; their order stays.

    Parameters
    ----------
    moments : int64, float64 or datetime64 `[n]`; of numbers, see `ticks_per_second`.

    Raises
    ------
    UserError : a date is before 1678 or after 2261.
    """
    if moments.dtype.kind != "M":
        scale = 10**9 // ticks_per_second(moments)
        return (moments * scale).astype("datetime64[ns]")
    seconds = moments.astype("datetime64[s]").astype(np.int64)
    far = np.abs(seconds) > _LATEST
    if far.any():
        raise UserError(
            f"RecTools has dates from 1678 to 2261 only, and a timestamp is "
            f"{moments[int(far.argmax())]}: use --to parquet"
        )
    return moments.astype("datetime64[ns]")


def ticks_per_second(moments: NDArray[Any]) -> int:
    """Unit in which numbers are taken for Unix times: the largest in which all of them fit.

    So Unix times of all usual units are taken for what they are, and all numbers have dates.

    Parameters
    ----------
    moments : int64 or float64 `[n]`.
    """
    largest = max(abs(float(moments.max())), abs(float(moments.min())))
    return next((unit for unit in (1, 10**3, 10**6) if largest < _LATEST * unit), 10**9)

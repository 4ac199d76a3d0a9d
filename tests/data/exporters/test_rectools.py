"""RecTools' columns: what its data sets are made of, with dates of any timestamps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mmsr.data import Dataset
from mmsr.data.exporters.export import export
from mmsr.data.exporters.rectools import as_dates
from mmsr.data.openings import openings
from mmsr.errors import UserError


def test_columns_and_parts(
    imported: Callable[..., Dataset], rows: pd.DataFrame, tmp_path: Path
) -> None:
    dataset = imported(protocol="temporal", texts=True, vectors=("image",))
    export(dataset, "rectools", str(tmp_path / "out"), with_test=True)
    found = pd.read_parquet(tmp_path / "out" / "interactions.parquet")
    assert list(found.columns) == ["user_id", "item_id", "weight", "datetime", "split"]
    assert (found["weight"] == 1).all()
    assert found["datetime"].dtype == "datetime64[ns]"
    expected = rows.assign(timestamp=pd.to_datetime(rows["timestamp"], unit="s"))
    same = found[["user_id", "item_id", "datetime"]].to_numpy().tolist()
    assert sorted(same) == sorted(expected.to_numpy().tolist())
    moment = int(dataset.manifest.test_from or 0)
    is_test = found["datetime"] >= pd.Timestamp(moment, unit="s")
    assert (is_test == (found["split"] == "test")).all()
    vectors = pd.read_parquet(tmp_path / "out" / "features" / "image.parquet")
    assert np.array_equal(np.stack(list(vectors["vector"])), dataset.features("image").vectors)
    titles = pd.read_parquet(tmp_path / "out" / "items.parquet")["item_id"]
    assert titles.tolist() == list(dataset.item_ids)


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_unix_times_of_all_units(scale: int) -> None:
    moments = np.array([0, 1_400_000_000, 1_700_000_000]) * scale
    dates = ["1970-01-01", "2014-05-13T16:53:20", "2023-11-14T22:13:20"]
    assert (as_dates(moments) == np.array(dates, dtype="datetime64[ns]")).all()


@given(
    st.one_of(
        arrays.arrays(np.int64, 6, elements=st.integers(-(2**63) + 1, 2**63 - 1)),
        arrays.arrays(np.float64, 6, elements=st.floats(-(2.0**53), 2.0**53)),
    )
)
def test_dates_keep_the_order(moments: np.ndarray) -> None:
    dates = as_dates(np.sort(moments))
    assert not np.isnat(dates).any()
    assert (dates[1:] >= dates[:-1]).all()


def test_dates_that_rectools_does_not_have(
    imported: Callable[..., Dataset], tmp_path: Path
) -> None:
    def late(column: pd.Series) -> pd.Series:
        return (column * 10).astype("datetime64[s]")

    dataset = imported(times=late)
    with pytest.raises(UserError, match=r"from 1678 to 2261 only.*use --to parquet"):
        export(dataset, "rectools", str(tmp_path / "out"), with_test=True)
    assert openings(dataset) == ()

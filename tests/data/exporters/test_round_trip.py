"""Import → export → import gives the same content, by the command that the export names."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, event, example, given, settings
from hypothesis import strategies as st

from mmsr.data import Dataset, ImportSettings, Sources, prepare
from mmsr.data.exporters.export import export
from mmsr.data.held_out import open_test
from mmsr.data.openings import openings
from mmsr.errors import UserError

from .reimport import again

PROTOCOLS = ("ratio", "leave-one-out", "temporal", "cold-items")
TIMES: dict[str, Callable[[pd.Series], Any]] = {
    "numbers": lambda column: column,
    "floats": lambda column: column + 0.25,
    "dates": lambda column: pd.to_datetime(column * 10**6 + 1, unit="us"),
    "fine dates": lambda column: pd.to_datetime(column * 10**9 + 1, unit="ns"),
}


def test_targets(dataset: Dataset, home: Path) -> list[tuple[str, list[str], str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(home))
        test = open_test(dataset, who="tests", why="the oracle")
    histories, targets = test.batch(np.arange(len(test)), 1000)
    ids = dataset.item_ids
    return [
        (dataset.user_ids[user], [ids[item] for item in history if item >= 0], ids[target])
        for user, history, target in zip(test.users, histories, targets, strict=True)
    ]


test_targets.__test__ = False  # type: ignore[attr-defined]  # a helper


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("times", TIMES)
def test_interactions_alone(
    protocol: str, times: str, imported: Callable[..., Dataset], tmp_path: Path, home: Path
) -> None:
    dataset = imported(protocol=protocol, times=TIMES[times])
    done = export(dataset, "parquet", str(tmp_path / "out"), with_test=True)
    counts = dataset.manifest.counts
    assert done.record.targets == {
        "train": counts.train_targets,
        "valid": counts.valid_targets,
        "test": counts.test_targets,
    }
    found = again(tmp_path / "out", tmp_path / "other")
    assert found.content_hash == dataset.content_hash
    assert found.manifest.counts == dataset.manifest.counts
    assert found.manifest.test_from == dataset.manifest.test_from
    theirs, ours = test_targets(found, tmp_path / "other"), test_targets(dataset, home)
    assert theirs == ours
    # What was exported once is exported alike.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(tmp_path / "other"))
        export(found, "parquet", str(tmp_path / "twice"), with_test=True)
    tables = [pq.read_table(tmp_path / name / "interactions.parquet") for name in ("out", "twice")]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "way",
    [
        {"texts": True},
        {"texts": True, "text": False},
        {"texts": True, "text_from": ("colour", "title")},
        {"texts": True, "vectors": ("image", "video")},
        {"texts": True, "vectors": ("image", "text")},
        {"vectors": ("video", "image")},
        {"texts": True, "text_width": 2, "seed": 7, "core": 1},
    ],
    ids=str,
)
def test_with_metadata_and_vectors(
    protocol: str, way: dict[str, Any], imported: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = imported(protocol=protocol, **way)
    assert bool(dataset.modalities) == (way.get("text") is not False)
    export(dataset, "parquet", str(tmp_path / "out"), with_test=True)
    found = again(tmp_path / "out", tmp_path / "other")
    assert found.content_hash == dataset.content_hash
    assert found.modalities == dataset.modalities


def test_a_moment_of_test_that_was_given(imported: Callable[..., Dataset], tmp_path: Path) -> None:
    dates = TIMES["dates"]
    dataset = imported(protocol="temporal", times=dates, test_from="2014-05-16T12:00:00")
    export(dataset, "parquet", str(tmp_path / "out"), with_test=True)
    assert again(tmp_path / "out", tmp_path / "other").content_hash == dataset.content_hash


@pytest.mark.parametrize("protocol", ["ratio", "leave-one-out"])
def test_without_moments_positions_stand_for_them(
    protocol: str,
    imported: Callable[..., Dataset],
    as_of_before: Callable[[Dataset], Dataset],
    tmp_path: Path,
) -> None:
    dataset = as_of_before(imported(protocol=protocol))
    done = export(dataset, "parquet", str(tmp_path / "out"), with_test=True)
    assert not done.record.moments
    assert "positions in the histories" in (tmp_path / "out" / "README.md").read_text()
    table = pq.read_table(tmp_path / "out" / "interactions.parquet").to_pandas()
    assert (table["timestamp"] == table.groupby("user_id").cumcount()).all()
    assert again(tmp_path / "out", tmp_path / "other").content_hash == dataset.content_hash


@pytest.mark.parametrize("protocol", ["temporal", "cold-items"])
@pytest.mark.parametrize("to", ["parquet", "recbole", "rectools"])
def test_a_temporal_split_needs_its_moments(
    to: str,
    protocol: str,
    imported: Callable[..., Dataset],
    as_of_before: Callable[[Dataset], Dataset],
    tmp_path: Path,
) -> None:
    dataset = as_of_before(imported(protocol=protocol))
    for with_test in (True, False):
        with pytest.raises(UserError, match=r"did not keep them: import it again with mmsr data"):
            export(dataset, to, str(tmp_path / "out"), with_test=with_test)
    assert not (tmp_path / "out").exists()
    assert openings(dataset) == ()


def test_rows_have_the_moments_and_parts_that_were_imported(
    imported: Callable[..., Dataset], rows: pd.DataFrame, tmp_path: Path
) -> None:
    dataset = imported(protocol="leave-one-out")
    export(dataset, "parquet", str(tmp_path / "out"), with_test=True)
    found = pq.read_table(tmp_path / "out" / "interactions.parquet").to_pandas()
    expected = []
    for user, history in rows.groupby("user_id"):  # in the order of time already
        parts = ["train"] * (len(history) - 2) + ["valid", "test"]
        values = zip(history["item_id"], history["timestamp"], parts, strict=True)
        expected += [(user, *value) for value in values]
    assert sorted(map(tuple, found.to_numpy().tolist())) == sorted(expected)
    order = found.groupby("user_id", sort=False)["timestamp"].apply(
        lambda t: t.is_monotonic_increasing
    )
    assert order.all()


IDS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5),
    st.sampled_from(["NA", "null", "None", "nan", "", "1e5", "007", "7", '"', '""', '"a', "a b"]),
    st.sampled_from(["[PAD]", " a", "a ", "\ufeff", ",", "\u2028", "é", "e\u0301", "#", "'", "\\"]),
)


@given(
    users=st.lists(IDS, min_size=2, max_size=3, unique=True),
    items=st.lists(IDS, min_size=2, max_size=5, unique=True),
    times=st.lists(st.integers(0, 40), min_size=24, max_size=24),
    protocol=st.sampled_from(PROTOCOLS),
)
@settings(max_examples=15, phases=[Phase.explicit, Phase.generate])  # shrinking takes minutes
@example(["0", "\u2028"], ["0", "\u2028"], [0, 0, 1, 3, 5, 8, 9, 12] * 3, "ratio")
@example(["NA", "[PAD]"], ['"a', "007", "7"], [0, 2, 2, 3, 5, 8, 9, 12] * 3, "temporal")
@example(['"', " a"], ['"', '""', "#", ","], [0, 2, 2, 3, 5, 8, 9, 12] * 3, "ratio")
def test_any_ids(users: list[str], items: list[str], times: list[int], protocol: str) -> None:
    n = 8 * len(users)
    frame = pd.DataFrame(
        {
            "user_id": [users[row % len(users)] for row in range(n)],
            "item_id": [items[row * row % 7 % len(items)] for row in range(n)],
            "timestamp": times[:n],
        }
    )
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv("MMSR_HOME", str(folder / "home"))
        frame.to_parquet(folder / "rows.parquet")
        try:
            given_by = ImportSettings(core=1, protocol=protocol)
            dataset = prepare("d", Sources(folder / "rows.parquet"), given_by).dataset
        except UserError:  # e.g. a blank id, or no test target
            event("not imported")
            return
        export(dataset, "parquet", str(folder / "out"), with_test=True)
        assert again(folder / "out", folder / "other").content_hash == dataset.content_hash
        try:
            export(dataset, "recbole", str(folder / "recbole"), with_test=True)
        except UserError as error:
            event("refused for RecBole")
            refused = str(error)
        else:
            refused = ""
        if refused:
            assert "RecBole" in refused
            assert not (folder / "recbole").exists()
            return
        base = folder / "recbole" / "d" / "d"
        read = [
            # as RecBole reads it
            pd.read_csv(f"{base}.{end}", delimiter="\t", dtype=str, engine="python")
            for end in ("user", "item", "test.inter")
        ]
        assert read[0]["user_id:token"].tolist() == list(dataset.user_ids)
        assert read[1]["item_id:token"].tolist() == list(dataset.item_ids)
        found = [
            (user, history.split(" "), item) for user, history, item in read[2].to_numpy().tolist()
        ]
        assert found == test_targets(dataset, folder / "home")

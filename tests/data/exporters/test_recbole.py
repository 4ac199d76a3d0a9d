"""RecBole's files, read as RecBole does and beside slow loops; what it cannot hold is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from mmsr.data import Dataset, ImportSettings, Sources, prepare
from mmsr.data.exporters.export import FORMATS, export
from mmsr.data.exporters.recbole import HISTORY, as_seconds, check_ids
from mmsr.data.openings import openings
from mmsr.errors import UserError


def read(path: Path, **kinds: type) -> pd.DataFrame:
    """Read an atomic file as RecBole 1.2.1 does, under the names of its fields."""
    table = pd.read_csv(path, delimiter="\t", dtype=kinds or str, engine="python")
    return table.rename(columns=lambda field: str(field).split(":")[0])


def test_examples_are_those_of_a_slow_loop(
    imported: Callable[..., Dataset], rows: pd.DataFrame, tmp_path: Path
) -> None:
    export(imported(protocol="leave-one-out"), "recbole", str(tmp_path / "out"), with_test=True)
    expected: dict[str, list[tuple[str, str, str]]] = {"train": [], "valid": [], "test": []}
    for user, history in sorted(rows.groupby("user_id")["item_id"].apply(list).items()):
        for place in range(1, len(history)):
            part = {len(history) - 1: "test", len(history) - 2: "valid"}.get(place, "train")
            expected[part].append((user, " ".join(history[:place]), history[place]))
    for part, examples in expected.items():
        found = read(tmp_path / "out" / "shop" / f"shop.{part}.inter")
        assert list(found.columns) == ["user_id", "item_id_list", "item_id"]
        assert list(map(tuple, found.to_numpy())) == examples
    whole = read(tmp_path / "out" / "shop" / "shop.inter")
    assert whole["split"].value_counts().to_dict() == {"train": 180, "valid": 30, "test": 30}
    merged = whole.astype({"timestamp": int}).drop(columns="split")
    assert sorted(map(tuple, merged.to_numpy())) == sorted(map(tuple, rows.to_numpy()))


@pytest.mark.parametrize("with_test", [True, False])
def test_with_cold_items_new_items_alone_are_targets(
    with_test: bool, imported: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = imported(protocol="cold-items")
    done = export(dataset, "recbole", str(tmp_path / "out"), with_test=with_test)
    rows = read(tmp_path / "out" / "shop" / "shop.inter")
    parts = ["train", "valid", "test"][: 3 if with_test else 2]
    expected: dict[str, list[tuple[str, str, str]]] = {part: [] for part in parts}
    for user, history in rows.groupby("user_id", sort=False):
        items = history["item_id"].tolist()
        for place, part in enumerate(history["split"]):
            earlier = rows["split"].isin(parts[: parts.index(part)])
            new = items[place] not in set(rows.loc[earlier, "item_id"])
            if place and (part == "train" or new):
                expected[part].append((str(user), " ".join(items[:place]), items[place]))
    for part, examples in expected.items():
        found = read(tmp_path / "out" / "shop" / f"shop.{part}.inter")
        assert list(map(tuple, found.to_numpy())) == examples
        assert 0 < len(examples) == done.record.targets[part]
        assert part == "train" or len(examples) < done.record.interactions[part] / 2


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("protocol", ["temporal", "cold-items"])
def test_the_guide_says_what_targets_are(
    to: str, protocol: str, imported: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = imported(protocol=protocol)
    done = export(dataset, to, str(tmp_path / "out"), with_test=True)
    guide = (tmp_path / "out" / "README.md").read_text()
    assert ("targets of a part but train are interactions with new items" in guide) == (
        protocol == "cold-items"
    )
    targets, rows = done.record.targets["test"], done.record.interactions["test"]
    assert targets == dataset.manifest.counts.test_targets
    assert f"| test | {rows} interactions, {targets} targets |" in guide


def test_long_histories_are_cut_to_the_latest(home: Path, tmp_path: Path) -> None:
    n = 2 * HISTORY
    table = {
        "user_id": ["u"] * n + ["v"] * n,
        "item_id": [f"i{place % 60}" for place in range(2 * n)],
        "timestamp": [place * place for place in range(2 * n)],
    }
    pd.DataFrame(table).to_parquet(tmp_path / "rows.parquet")
    settings = ImportSettings(core=1, protocol="leave-one-out")
    dataset = prepare("d", Sources(tmp_path / "rows.parquet"), settings).dataset
    export(dataset, "recbole", str(tmp_path / "out"), with_test=True)
    found = read(tmp_path / "out" / "d" / "d.test.inter")
    items = table["item_id"]
    assert found["item_id_list"].tolist() == [
        " ".join(items[n - 1 - HISTORY : n - 1]),
        " ".join(items[2 * n - 1 - HISTORY : 2 * n - 1]),
    ]


def test_items_and_vectors(imported: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = imported(texts=True, vectors=("image",))
    export(dataset, "recbole", str(tmp_path / "out"))
    base = tmp_path / "out" / "shop"
    items = read(base / "shop.item").fillna("")
    assert items["item_id"].tolist() == list(dataset.item_ids)
    titles = [" ".join((t or "").split()) for t in dataset.item_table["title"].to_pylist()]
    assert items["title"].tolist() == titles
    assert any('"' in title for title in titles), "quotes stay"
    for modality in ("image", "text"):
        expected = dataset.features(modality)
        found = read(base / f"shop.{modality}")
        ids = [dataset.item_ids[item] for item in expected.items]
        assert found[f"iid_{modality}"].tolist() == ids
        vectors = [list(map(float, text.split(" "))) for text in found[f"vec_{modality}"]]
        assert np.array_equal(np.array(vectors, dtype=np.float32), expected.vectors)
    config, more = (
        yaml.safe_load((tmp_path / "out" / f"shop{end}.yaml").read_text())
        for end in ("", "-features")
    )
    assert set(more["additional_feat_suffix"]) == {"image", "text"}
    for suffix, fields in (config["load_col"] | more["load_col"]).items():
        files = [f"{part}.inter" for part in config["benchmark_filename"]]
        for end in files if suffix == "inter" else [suffix]:
            assert set(fields) <= set(read(base / f"shop.{end}").columns)


def test_without_test_nothing_of_it_is_there(
    imported: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = imported()
    export(dataset, "recbole", str(tmp_path / "out"))
    base = tmp_path / "out" / "shop"
    assert not (base / "shop.test.inter").exists()
    assert set(read(base / "shop.inter")["split"]) == {"train", "valid"}
    config = yaml.safe_load((tmp_path / "out" / "shop.yaml").read_text())
    assert config["benchmark_filename"] == ["train", "valid", "valid"]
    assert "is that of validation" in (tmp_path / "out" / "README.md").read_text()
    assert openings(dataset) == ()


@pytest.mark.parametrize("bad", ["NA", "null", "None", "nan", "<NA>", "N/A", "[PAD]", "\u2028"])
def test_ids_that_recbole_reads_as_missing(bad: str) -> None:
    for name in ("user_id", "item_id"):
        with pytest.raises(UserError, match=f"the {name} .* is one that RecBole reads as no value"):
            check_ids(pa.array(["a", bad], pa.large_string()), name)


def test_blanks_are_for_users_alone() -> None:
    ids = pa.array(["a", "b c"], pa.large_string())
    check_ids(ids, "user_id")
    with pytest.raises(UserError, match="the item_id 'b c' is one that RecBole splits"):
        check_ids(ids, "item_id", blanks=False)


def test_pandas_reads_no_other_text_as_missing() -> None:
    from pandas._libs.parsers import STR_NA_VALUES

    for text in STR_NA_VALUES - {""}:
        with pytest.raises(UserError, match="no value"):
            check_ids(pa.array([text], pa.large_string()), "item_id")


def test_names_that_recbole_has_for_itself(
    imported: Callable[..., Dataset], tmp_path: Path
) -> None:
    output = str(tmp_path / "out")
    with pytest.raises(UserError, match=r"files of its own for the name 'ml-100k'"):
        export(imported("ml-100k"), "recbole", output, with_test=True)
    dataset = imported(vectors=("user",))
    with pytest.raises(UserError, match=r"end in \.user"):
        export(dataset, "recbole", output, with_test=True)
    assert openings(dataset) == (), "what is refused opens nothing"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("moments", "texts"),
    [
        (np.array([-3, 1_400_000_000]), ["-3", "1400000000"]),
        (np.array([0.1, 2.5e-9]), ["0.1", "2.5e-09"]),
        (
            np.array([-1, 1_500_000, 1_400_000_000 * 10**6]).astype("datetime64[us]"),
            ["-0.000001", "1.500000", "1400000000"],
        ),
        (np.array([1]).astype("datetime64[ns]"), ["0.000000001"]),
    ],
)
def test_timestamps(moments: np.ndarray, texts: list[str]) -> None:
    assert as_seconds(moments) == texts

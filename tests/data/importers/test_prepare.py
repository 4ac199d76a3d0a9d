"""Importing against a slow reading of the rules, and what a prepared data set promises."""

from __future__ import annotations

import pickle
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.data import Dataset, ImportSettings, Prefixes, Sources, prepare
from mmsr.data.held_out import open_test
from mmsr.data.storage import read_arrow
from mmsr.errors import UserError

WriteTable = Callable[..., Path]
Row = tuple[str, str, int]
Example = tuple[str, tuple[str, ...], str]
GOLDEN_HASH = "1c343ea1a0fa23080f86c7aeb12f681e79825eca9fe34f86a646ebb741122dfa"


def slow_histories(rows: list[Row], core: int) -> dict[str, list[str]]:
    """Duplicates out, k-core, order of time: one rule after the other, row by row."""
    kept = list(dict.fromkeys(rows))
    while True:
        users, items = Counter(row[0] for row in kept), Counter(row[1] for row in kept)
        stay = [row for row in kept if users[row[0]] >= core and items[row[1]] >= core]
        if len(stay) == len(kept):
            break
        kept = stay
    histories: dict[str, list[tuple[int, str]]] = {}
    for user, item, time in kept:
        histories.setdefault(user, []).append((time, item))
    return {
        user: [item for _, item in sorted(history, key=lambda pair: pair[0])]
        for user, history in histories.items()
    }


def slow_examples(histories: dict[str, list[str]]) -> dict[str, set[Example]]:
    """Examples of every part by protocol `ratio`."""
    parts: dict[str, set[Example]] = {"train": set(), "valid": set(), "test": set()}
    for user, items in histories.items():
        n_test = int(0.2 * len(items))
        n_valid = int(0.2 * (len(items) - n_test))
        for position in range(1, len(items)):
            left = len(items) - position
            part = "test" if left <= n_test else "valid" if left <= n_test + n_valid else "train"
            parts[part].add((user, tuple(items[:position]), items[position]))
    return parts


def examples(dataset: Dataset, prefixes: Prefixes) -> set[Example]:
    histories, targets = prefixes.batch(np.arange(len(prefixes)), 1000)
    return {
        (
            dataset.user_ids[user],
            tuple(dataset.item_ids[item] for item in history if item >= 0),
            dataset.item_ids[target],
        )
        for user, history, target in zip(prefixes.users, histories, targets, strict=True)
    }


interactions = st.lists(
    st.tuples(
        st.integers(0, 7).map("user {}".format),
        st.integers(0, 6).map("0{}".format),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=150,
)


def part_of(home: Path) -> list[list[int]]:
    """The items of the test part of `d`, read without mmsr."""
    with pa.memory_map(str(home / "held-out" / "d" / "test.arrow")) as source:
        return pa.ipc.open_file(source).read_all().column("items").to_pylist()


@given(rows=interactions, core=st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_import_is_what_the_rules_say(rows: list[Row], core: int) -> None:
    histories = slow_histories(rows, core)
    expected = slow_examples(histories)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", folder)
        path = Path(folder) / "rows.csv"
        frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
        frame.to_csv(path, index=False)
        if not all(expected.values()):
            with pytest.raises(UserError, match=r"nothing is left|leaves no (training|valid|test)"):
                prepare("d", Sources(path), ImportSettings(core=core))
            return
        dataset = prepare("d", Sources(path), ImportSettings(core=core)).dataset
        assert examples(dataset, dataset.train()) == expected["train"]
        assert examples(dataset, dataset.valid()) == expected["valid"]
        assert examples(dataset, dataset.development()) == expected["train"] | expected["valid"]
        test = open_test(dataset, who="tests", why="the oracle")
        assert examples(dataset, test) == expected["test"]
        counts = dataset.manifest.counts
        assert counts.users == len(histories)
        assert counts.items == len({item for history in histories.values() for item in history})
        assert counts.interactions == sum(map(len, histories.values()))
        assert counts.train_targets == len(dataset.train())
        assert counts.valid_targets == len(dataset.valid())
        assert counts.test_targets == len(test)
        assert dataset.manifest.history_lengths == Counter(map(len, histories.values()))
        dropped = dataset.manifest.provenance.dropped
        assert dropped.duplicate_interactions == len(rows) - len(set(rows))
        assert len(set(rows)) - dropped.core_interactions == counts.interactions
        assert not list(Path(folder).glob("datasets/.d.*draft*"))


@pytest.mark.parametrize("protocol", ["ratio", "leave-one-out", "temporal"])
def test_development_file_holds_nothing_of_test(
    protocol: str, home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    path = write_table("rows.csv", purchases)
    dataset = prepare("d", Sources(path), ImportSettings(protocol=protocol)).dataset
    seen = read_arrow(dataset.path / "development.arrow").column("items").to_pylist()
    held_out = part_of(home)
    test = open_test(dataset, who="tests", why="the oracle")
    for user, (ours, theirs) in enumerate(zip(seen, held_out, strict=True)):
        start = test.starts[test.users == user][:1]
        if len(start):
            whole = ours + theirs
            assert test.items[start[0] : start[0] + len(whole)].tolist() == whole
    assert sum(map(len, seen)) + sum(map(len, held_out)) == len(purchases["item_id"])
    # Nothing but open_test needs the test file.
    assert not list(dataset.path.rglob("test.arrow"))
    (home / "held-out" / "d" / "test.arrow").unlink()
    again = Dataset.open("d")
    assert len(again.development()) == len(again.train()) + len(again.valid())
    with pytest.raises(UserError, match=r"lacks its test part .*import d --interactions"):
        open_test(again, who="tests", why="the oracle")


def test_order_of_users_in_the_file_changes_nothing(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    frame = pd.DataFrame(purchases)
    by_time = frame.sort_values("timestamp", kind="stable")
    first = prepare("a", Sources(write_table("a.csv", frame))).dataset
    other = prepare("b", Sources(write_table("b.csv", by_time))).dataset
    assert first.content_hash == other.content_hash


def test_ties_in_time_keep_the_order_of_the_file(home: Path, write_table: WriteTable) -> None:
    items = ["c", "a", "b", "e", "d", "f"]
    rows = {
        "user_id": [user for user in "xyz" for _ in items],
        "item_id": items * 3,
        "timestamp": [5] * 18,
    }
    dataset = prepare("d", Sources(write_table("r.csv", rows)), ImportSettings(core=2)).dataset
    test = open_test(dataset, who="tests", why="the oracle")
    history, target = test.batch(np.array([0]), 9)
    assert [dataset.item_ids[item] for item in (*history[0], *target)] == items


@pytest.mark.parametrize(
    "name", ["r.csv", "r.tsv", "r.jsonl", "r.csv.gz", "r.tsv.gz", "r.jsonl.gz", "r.parquet"]
)
@pytest.mark.parametrize("ids", ["text", "numbers"])
@pytest.mark.parametrize("times", ["numbers", "dates"])
def test_every_format_gives_the_same_data(
    name: str,
    ids: str,
    times: str,
    home: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    rows = dict(purchases)
    if ids == "numbers":
        rows = {k: [int(str(v).lstrip("ui")) for v in values] for k, values in rows.items()}
    reference = prepare("reference", Sources(write_table("reference.csv", rows))).dataset
    if times == "dates":
        rows["timestamp"] = [f"2014-07-{t - 90:02d}T10:00:00" for t in rows["timestamp"]]
    dataset = prepare("d", Sources(write_table(name, rows))).dataset
    assert dataset.content_hash == reference.content_hash


def test_columns_by_other_names(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    names = {"user_id": "reviewerID", "item_id": "asin", "timestamp": "unixReviewTime"}
    renamed = {names[key]: values for key, values in purchases.items()}
    items = {"item_id": [f"i{i}" for i in range(12)], "name": [f"red {i % 3}x" for i in range(12)]}
    sources = Sources(write_table("r.csv", renamed), write_table("items.csv", items))
    dataset = prepare("d", sources, ImportSettings(columns={**names, "title": "name"})).dataset
    plain = prepare("e", Sources(write_table("p.csv", purchases))).dataset
    assert dataset.manifest.counts == plain.manifest.counts
    assert dataset.item_table.column("title").to_pylist() == [
        items["name"][int(item[1:])] for item in dataset.item_ids
    ]


def test_same_inputs_do_nothing_and_others_need_overwrite(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    path = write_table("rows.csv", purchases)
    first = prepare("d", Sources(path))
    assert first.fresh
    manifest = first.dataset.path / "manifest.json"
    written = manifest.stat().st_mtime_ns
    moved = path.rename(path.with_name("moved.csv"))
    assert not prepare("d", Sources(moved)).fresh
    assert manifest.stat().st_mtime_ns == written
    with pytest.raises(UserError, match=r"made differently \(protocol\): use --overwrite"):
        prepare("d", Sources(moved), ImportSettings(protocol="leave-one-out"))
    purchases["item_id"][0] = "i11"
    changed = write_table("rows.csv", purchases)
    with pytest.raises(UserError, match=r"made differently \(interactions\)"):
        prepare("d", Sources(changed))
    again = prepare("d", Sources(changed), overwrite=True)
    assert again.fresh
    assert again.dataset.content_hash != first.dataset.content_hash


def test_hash_covers_the_split_and_not_the_time_of_day(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    path = write_table("rows.csv", purchases)
    vectors = {"item_id": ["i0", "i1", "i2"], "vector": [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]}
    features = {"image": write_table("v.parquet", vectors)}
    base = prepare("a", Sources(path)).dataset
    assert prepare("b", Sources(path)).dataset.content_hash == base.content_hash
    others = {
        "c": (Sources(path), ImportSettings(protocol="leave-one-out")),
        "d": (Sources(path, features=features), ImportSettings()),
        "e": (Sources(path, features={"sound": features["image"]}), ImportSettings()),
    }
    hashes = {name: prepare(name, *how).dataset.content_hash for name, how in others.items()}
    assert len({base.content_hash, *hashes.values()}) == 4


def test_hash_is_stable_across_versions(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    """Studies and best configs record this hash: a change needs a new schema version."""
    vectors = {"item_id": ["i0", "i1", "i2"], "vector": [[0.0, 1.0], [1.0, 0.5], [1.0, 1.0]]}
    items = {"item_id": ["i0", "i1"], "title": ["näht", None]}
    sources = Sources(
        write_table("rows.csv", purchases),
        write_table("items.parquet", items),
        {"image": write_table("v.parquet", vectors)},
    )
    dataset = prepare("d", sources, ImportSettings(text=False)).dataset
    assert dataset.manifest.schema_version == 1
    assert dataset.content_hash == GOLDEN_HASH


def test_dataset_is_mapped_read_only_and_travels_to_workers(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    vectors = {"item_id": ["i3", "i1", "i2"], "vector": [[0.0, 1.0], [1.0, 0.5], [1.0, 1.0]]}
    sources = Sources(
        write_table("rows.csv", purchases), features={"image": write_table("v.parquet", vectors)}
    )
    dataset = prepare("d", sources).dataset
    table = dataset.features("image")
    for array in (dataset.train().items, table.vectors):
        assert not array.flags.owndata
        assert not array.flags.writeable
    assert [dataset.item_ids[item] for item in table.items] == ["i1", "i2", "i3"]
    np.testing.assert_array_equal(table.vectors, [[1.0, 0.5], [1.0, 1.0], [0.0, 1.0]])
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.content_hash == dataset.content_hash
    assert copy.item_ids[:2] == dataset.item_ids[:2]
    assert len(copy.user_ids) == 30
    with pytest.raises(UserError, match="unknown modality of data set 'd' 'imago': did you mean"):
        dataset.features("imago")


@pytest.mark.parametrize("core", [1, 2])
def test_repeats_stay(core: int, home: Path, write_table: WriteTable) -> None:
    rows = {"user_id": ["a"] * 6 + ["b"] * 6, "item_id": ["x", "y"] * 6, "timestamp": range(12)}
    dataset = prepare("d", Sources(write_table("r.csv", rows)), ImportSettings(core=core)).dataset
    assert dataset.manifest.counts.interactions == 12

"""Tables in memory: the same data as in files, the same errors, and nothing done twice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.data import ImportSettings, Sources, import_tables, prepare
from mmsr.data.importers.foreign.memory import as_features, as_table
from mmsr.errors import UserError

WriteTable = Callable[..., Path]
IDS = [f"i{item}" for item in range(12)]
VECTORS = np.arange(36, dtype=np.float32).reshape(12, 3) / 4


class Stream:
    """What a library offers that mmsr has never heard of."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def polars(table: pa.Table) -> object:
    return pytest.importorskip("polars").from_arrow(table)


KINDS: dict[str, Callable[[pa.Table], Any]] = {
    "arrow": lambda table: table,
    "chunks": lambda table: pa.concat_tables([table[:1], table[1:]]),
    "pandas": lambda table: table.to_pandas(),
    "views": lambda table: pa.table(
        {
            name: column.cast(pa.string_view()) if column.type == pa.string() else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    ),
    "columns": lambda table: table.to_pydict(),
    "stream": Stream,
    "reader": lambda table: table.to_reader(),
    "polars": polars,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_same_as_files(
    kind: str, home: Path, tmp_path: Path, purchases: dict[str, list[Any]]
) -> None:
    tables = {
        "interactions": pa.table(purchases),
        "items": pa.table({"item_id": IDS, "title": [f"a {word} bear" for word in IDS]}),
        "image": pa.table({"item_id": IDS, "vector": VECTORS.tolist()}),
    }
    for name, table in tables.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    paths = {name: tmp_path / f"{name}.parquet" for name in tables}
    sources = Sources(paths["interactions"], paths["items"], {"image": paths["image"]})
    expected = prepare("e", sources, ImportSettings(protocol="leave-one-out")).dataset

    def load(name: str) -> Any:
        given = {name: KINDS[kind](table) for name, table in tables.items()}
        features = {"image": given["image"]}
        return import_tables(
            name, given["interactions"], given["items"], features, protocol="leave-one-out"
        )

    prepared = load("d")
    assert prepared.dataset.content_hash == expected.content_hash
    assert [str(count) for count in prepared.rows] == [
        "interactions: 240 rows read = 240 kept",
        "items: 12 rows read = 12 kept",
        "features['image']: 12 rows read = 12 kept",
    ]
    assert not load("d").fresh
    assert prepared.dataset.manifest.provenance.command("d").startswith("mmsr.data.import_tables(")


cells = st.none() | st.text("ab\x00é😀", max_size=3)


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 3).map("u{}".format),
            st.sampled_from(["x", "é", "07", "7"]),
            st.integers(0, 99_999),
        ),
        min_size=1,
        max_size=40,
    ),
    core=st.integers(1, 2),
)
@settings(max_examples=20, deadline=None)
def test_what_was_written_is_what_is_in_memory(rows: list[tuple[str, str, int]], core: int) -> None:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    chosen = ImportSettings(core=core, protocol="leave-one-out")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", f"{folder}/home")
        path = Path(folder) / "rows.csv"
        frame.to_csv(path, index=False)
        said: list[object] = []
        for load in (
            lambda: prepare("a", Sources(path), chosen),
            lambda: import_tables("b", frame, core=core, protocol="leave-one-out"),
        ):
            try:
                prepared = load()
                said.append((prepared.dataset.content_hash, prepared.rows[0].dropped))
            except UserError as error:
                said.append(str(error).replace(str(path), "interactions"))
        assert said[0] == said[1]


@given(
    table=st.lists(st.tuples(cells, st.none() | st.lists(st.integers(0, 3))), min_size=1),
    at=st.integers(0),
)
@settings(max_examples=60, deadline=None)
def test_a_fingerprint_is_of_values_not_of_layout(table: list[Any], at: int) -> None:
    kinds = pa.schema([("a", pa.string()), ("b", pa.list_(pa.int64()))])
    columns = list(zip(*table, strict=True))
    whole = pa.table(dict(zip("ab", columns, strict=True)), kinds)

    def fingerprint(given: pa.Table) -> str:
        return as_table(given, "t").fingerprint(lambda amount: None)

    cut = at % (len(table) + 1)
    parts = pa.concat_tables([whole[:cut], whole[cut:]])
    other = whole.cast(pa.schema([("a", pa.large_string()), ("b", pa.large_list(pa.int64()))]))
    assert fingerprint(whole) == fingerprint(parts) == fingerprint(other)
    longer = pa.concat_tables([pa.table({"a": ["a"], "b": [[0]]}, kinds), whole])
    assert fingerprint(longer) != fingerprint(whole)
    assert fingerprint(longer[1:]) == fingerprint(whole)
    for place, row in enumerate(table):
        for changed in ((f"{row[0] or ''}z", row[1]), (row[0], [*(row[1] or []), 9])):
            rows = [*table[:place], changed, *table[place + 1 :]]
            columns = list(zip(*rows, strict=True))
            changed_table = pa.table(dict(zip("ab", columns, strict=True)), kinds)
            assert fingerprint(changed_table) != fingerprint(whole)


def test_ids_and_a_matrix_are_features(
    home: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    table = write_table("v.parquet", {"item_id": IDS, "vector": list(VECTORS)})
    rows = write_table("rows.csv", purchases)
    expected = prepare("e", Sources(rows, features={"image": table})).dataset
    frame = pd.DataFrame(purchases)
    for number, ids in enumerate((IDS, np.array(IDS), np.array(IDS, dtype=object), pd.Index(IDS))):
        for matrix in (VECTORS, np.asfortranarray(VECTORS.astype(">f8")), VECTORS.tolist()):
            features = {"image": (ids, matrix)}
            prepared = import_tables(f"d{number}", frame, features=features, overwrite=True)
            assert prepared.dataset.content_hash == expected.content_hash


def bad(**changes: Any) -> pd.DataFrame:
    rows = {"user_id": list("aabb"), "item_id": list("xyxy"), "timestamp": [1, 2, 3, 4]}
    return pd.DataFrame(rows | changes)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (bad(timestamp=[1, 2, None, 4]), r"^interactions: row 2 has no timestamp: .* from 0\)$"),
        (bad(item_id=["x", "y", "x", None]), r"^interactions: row 3 has no item_id"),
        (bad(user_id=[1.5, 1, 2, 3]), "^interactions: user_id is double: ids must be text"),
        (bad(timestamp=["a", "b", "c", 1]), "^interactions is no table that can be read .*int"),
        (bad().drop(columns="timestamp"), "^interactions has no column 'timestamp'"),
        (bad()[:0], "^interactions is empty"),
        (pd.DataFrame(), "^interactions has no column 'user_id'"),
        ([1, 2], "^interactions is list: give a data frame of pandas or polars"),
        (pd.Series([1]), "^interactions is no table that can be read"),
        (np.zeros((2, 3)), "^interactions is ndarray: give"),
        ({"user_id": [1], "item_id": [1, 2]}, "^interactions is no table that can be read"),
        (pa.table([[1], [2]], ["user_id", "user_id"]), "^interactions has two columns named"),
    ],
)
def test_bad_tables_are_named(table: Any, said: str, home: Path) -> None:
    with pytest.raises(UserError, match=said):
        import_tables("d", table, core=1)
    assert not (home / "datasets" / "d").exists()
    assert not (home / "imports").exists()


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ((IDS[1:], VECTORS), r"features\['image'\]\[0\] has 11 ids for the 12 vectors"),
        ((IDS, VECTORS[0]), r"\[1\] has 1 dimensions, expected 2"),
        ((IDS, VECTORS, 1), "is a tuple of 3: give"),
        ((IDS, [[1, 2], [3]] * 6), "holds no arrays"),
        (([1.5] * 12, VECTORS), "holds float64: write ids as text"),
        (([None] * 12, VECTORS), "holds other things than texts"),
        ((IDS, np.full((12, 3), "a")), "holds <U1: write numbers"),
        (IDS, "is list: give a data frame"),
        (pd.DataFrame({"item_id": IDS}), "no column 'vector'"),
    ],
)
def test_bad_features_are_named(
    features: Any, said: str, home: Path, purchases: dict[str, list[Any]]
) -> None:
    with pytest.raises(UserError, match=said):
        import_tables("d", purchases, features={"image": features})


def test_other_arguments_are_checked(home: Path, purchases: dict[str, list[Any]]) -> None:
    with pytest.raises(UserError, match="unknown setting 'protocl': did you mean 'protocol'"):
        import_tables("d", purchases, protocl="ratio")
    with pytest.raises(UserError, match="--core is 0"):
        import_tables("d", purchases, core=0)
    with pytest.raises(UserError, match="features is list: give a table for each modality"):
        import_tables("d", purchases, features=[VECTORS])  # type: ignore[arg-type]  # on purpose
    with pytest.raises(UserError, match="bad modality name '1'"):
        import_tables("d", purchases, features={1: (IDS, VECTORS)})  # type: ignore[dict-item]  # so
    assert as_features((IDS, VECTORS), "f").table.num_rows == 12

"""In whatever parts a table is read and sorted, the same comes out, errors included."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.data import ImportSettings, Sources, prepare
from mmsr.data.importers.bounded import scratch as scratch_module
from mmsr.data.importers.bounded.scratch import Limits, Scratch
from mmsr.data.importers.interactions import Interactions, read_interactions
from mmsr.errors import UserError
from tests.data.importers.bounded.oracle import expected

COLUMNS = ("user_id", "item_id", "timestamp")
TINY = Limits(block_bytes=96, batch_rows=3, memory_bytes=0, duckdb_memory="64MB")
"""Everything lies in files, and no table is read at once."""
FORMATS = ("csv", "tsv", "jsonl", "csv.gz", "jsonl.gz", "parquet")
FEW = settings(max_examples=8)

ids = st.sampled_from(["a", "b", "B", "10", "9", "é", "\U0001f600", "long " * 9])
rows = st.lists(st.tuples(ids, ids, st.integers(0, 5)), min_size=1, max_size=60)


@contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def write(path: Path, table: list[tuple[Any, ...]]) -> Path:
    """Write rows in the format that the file's name says."""
    ending = path.name.partition(".")[2]
    if ending == "parquet":
        columns = map(list, zip(*table, strict=True))
        pa.parquet.write_table(
            pa.table(dict(zip(COLUMNS, columns, strict=True))), path, row_group_size=7
        )
        return path
    if "jsonl" in ending:
        lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in table]
    else:
        mark = "\t" if "tsv" in ending else ","
        lines = [mark.join(map(str, row)) for row in (COLUMNS, *table)]
    text = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(text, 1) if ending.endswith("gz") else text)
    return path


def outcome(use: Callable[[], Interactions]) -> dict[str, Any] | str:
    """All that was read, or the error."""
    try:
        found = use()
    except UserError as error:
        return str(error)
    return {
        "items": found.histories.items.tolist(),
        "offsets": found.histories.offsets.tolist(),
        "times": found.histories.times.tolist(),
        "kind": (found.times.dated, found.times.unit, str(found.times.values.dtype)),
        "users": found.user_ids.to_pylist(),
        "catalogue": found.item_ids.to_pylist(),
        "types": (found.user_ids.type, found.item_ids.type, found.histories.items.dtype),
        "dropped": (found.duplicates, found.core_users, found.core_items, found.core_interactions),
        "count": found.count,
    }


def both(path: Path, core: int, *, moments: bool = False) -> tuple[Any, Any]:
    """What is read at once, and what is read in parts."""
    whole = outcome(lambda: read_interactions(path, core, {}, moments=moments))
    with folder() as space:
        scratch = Scratch(space, TINY)
        return whole, outcome(
            lambda: read_interactions(path, core, {}, moments=moments, scratch=scratch)
        )


@pytest.mark.parametrize("ending", FORMATS)
@given(table=rows, core=st.integers(1, 3))
@FEW
def test_what_pandas_finds(ending: str, table: list[tuple[str, str, int]], core: int) -> None:
    with folder() as place:
        whole, found = both(write(place / f"t.{ending}", table), core)
    assert found == whole
    truth = expected(table, core)
    if isinstance(found, str):
        assert not truth.histories or min(map(len, truth.histories.values())) < 2
        return
    assert found["users"] == sorted(truth.histories, key=str.encode)
    assert found["catalogue"] == truth.items
    for user, start, end in zip(
        found["users"], found["offsets"], found["offsets"][1:], strict=False
    ):
        items = [found["catalogue"][item] for item in found["items"][start:end]]
        assert items == truth.histories[user]
        assert found["times"][start:end] == truth.times[user]
    assert dict(found["count"].dropped) == {
        "repeated": truth.repeated,
        f"outside the {core}-core": truth.outside,
    }
    assert found["count"].read == len(table)
    assert found["count"].kept == len(found["items"])


odd_ids = ["", "  ", "a\tb", "1E+12", "nan", "0", "-0", "1.0"]
odd_times = ["", "0x10", "now", "1.000", "999", "1e400", "nan", "1406073600", "1406073600000"]
odd_times += ["2014-07-23", "2014-07-23T10:00:00Z", "23/07/2014", "2014-07-23T10:00:00.1234567"]
odd_times += ["9999-12-31", "1406073600.12345678", "1406073600.12345679", "20140723T000000"]
odd_times += [str(2**53), str(2**63), "2014-07-23 10:00:00 UTC", "2014-07-23T10:00:00.0000000001"]
odd_rows = st.lists(
    st.tuples(
        ids | st.sampled_from(odd_ids),
        ids,
        st.lists(st.sampled_from(odd_times), min_size=1, max_size=2, unique=True),
    ),
    min_size=2,
    max_size=20,
)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@given(table=odd_rows, usual=st.sampled_from(odd_times), moments=st.booleans())
@settings(max_examples=20)
def test_the_same_errors(
    ending: str, table: list[tuple[str, str, list[str]]], usual: str, moments: bool
) -> None:
    strange = [
        (user, item, times[0] if place % 7 == 5 else usual)
        for place, (user, item, times) in enumerate(table)
    ]
    with folder() as place:
        path = write(place / f"t.{ending}", strange)
        whole, found = both(path, 1, moments=moments)
    assert found == whole


@pytest.mark.parametrize(
    ("times", "kind"),
    [
        ([1, 2**63], pa.uint64()),
        ([1.5, 2.0**53], pa.float64()),
        ([1.5, None], pa.float32()),
        ([1, 10**15], pa.timestamp("s")),
        ([1, 2_000], pa.timestamp("ns")),
        ([1_000, 2_000], pa.timestamp("ns", "UTC")),
        ([None, None], pa.null()),
        ([True, False], pa.bool_()),
    ],
)
def test_typed_columns(times: list[Any], kind: pa.DataType, tmp_path: Path) -> None:
    table = pa.table({"user_id": [1, 1] * 5, "item_id": [2.0, 3.0] * 5})
    table = table.append_column("timestamp", pa.array(times * 5, kind))
    pa.parquet.write_table(table, tmp_path / "t.parquet", row_group_size=3)
    whole, found = both(tmp_path / "t.parquet", 1)
    assert found == whole


@pytest.mark.parametrize(
    ("times", "refused"),
    [
        (["1406073600.12345679", "7.5", "1406073600.12345678", "1406073600.12345679"], True),
        (["3.00000000000000001", "7.5", "3.00000000000000001", "3.0000000000000000100"], False),
        (["0." + "1" * 24, "1.5", "0." + "2" * 24], True),
        (["1406073600.123456", "1406073600.123457"], False),
    ],
)
@pytest.mark.parametrize("typed", [False, True])
def test_numbers_that_floats_cannot_tell_apart(
    times: list[str], refused: bool, typed: bool, tmp_path: Path
) -> None:
    values = list(map(Decimal, times)) if typed else times
    rows = [(f"u{n % 2}", f"i{n}", time) for n, time in enumerate([*values, *values])]
    whole, found = both(write(tmp_path / "t.parquet", rows), 1)
    assert found == whole
    assert ("floats keep 15 digits" in whole) == refused


@pytest.mark.parametrize(
    "lines",
    [
        ['{"user_id": 1, "item_id": 2, "timestamp": 3}', '{"user_id": 1.5, "item_id": 1}'],
        ['{"item_id": "a", "timestamp": 3}', '{"user_id": "b", "item_id": "a", "timestamp": 4}'],
        ['{"user_id": null, "item_id": 1, "timestamp": 1}'] * 3
        + ['{"user_id": 7, "item_id": 1, "timestamp": 1}'],
        ['{"user_id": "2014-07-23", "item_id": 1, "timestamp": "2014-07-23"}'] * 4,
        ['{"user_id": 1, "item_id": 1, "timestamp": 1, "other": {"x": 1}}']
        + ['{"user_id": 1, "item_id": 1, "timestamp": 2, "other": 5}'] * 3,
        ['{"user_id": 1, "item_id": 1, "timestamp": 1}', "{broken"],
        ['{"user_id": 1, "item_id": 1}'] * 5,
    ],
)
def test_json_whose_blocks_differ(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    whole, found = both(tmp_path / "t.jsonl", 1)
    assert found == whole


@pytest.mark.parametrize(
    "content",
    [
        "user_id,item_id,timestamp\na,b,1\na,c\n",
        "user_id,item_id,timestamp\na,b,1\n" * 3 + '"a,c,2\n',
        "user_id,item_id,timestamp\n",
        "",
        "user_id,item_id\na,b\n",
        "user_id,item_id,timestamp\n" + "a,b,1\n" * 50 + "\udcff,b,2\n",
        "user_id,item_id,timestamp\n" + "\n" * 200 + "a,b,1\n" * 40 + ",b,2\n",
    ],
)
def test_damaged_text(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode(errors="surrogateescape"))
    whole, found = both(tmp_path / "t.csv", 1)
    assert isinstance(found, str)
    assert found == whole


def test_a_prepared_data_set_is_the_same(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    table = [
        (f"u{rng.integers(40)}", f"i{rng.integers(30)}", int(rng.integers(1_000)))
        for _ in range(900)
    ]
    sources = Sources(write(tmp_path / "t.csv", table))
    for protocol in ("ratio", "temporal"):
        settings = ImportSettings(protocol=protocol)
        whole = prepare(f"whole-{protocol}", sources, settings)
        monkeypatch.setattr(scratch_module, "LIMITS", TINY)
        parts = prepare(f"parts-{protocol}", sources, settings)
        monkeypatch.undo()
        monkeypatch.setenv("MMSR_HOME", str(home))
        assert parts.dataset.content_hash == whole.dataset.content_hash
        assert parts.rows == whole.rows
        assert parts.dataset.manifest.counts == whole.dataset.manifest.counts
    left = {path.name for path in (home / "datasets").rglob("*")}
    assert not {name for name in left if name.endswith((".raw", ".duckdb"))}


def test_no_space_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [(f"u{n}", f"i{n}", n) for n in range(200_000)])
    scarce = Limits(memory_bytes=0, duckdb_memory="2MB")
    (tmp_path / "space").mkdir()
    with pytest.raises(UserError, match=r"cannot sort the interactions: .*emory") as caught:
        read_interactions(path, 1, {}, scratch=Scratch(tmp_path / "space", scarce))
    assert "\n" not in str(caught.value)

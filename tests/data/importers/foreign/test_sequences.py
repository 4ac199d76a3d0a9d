"""Plain sequences against the table that they stand for."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.data import ImportSettings, Sources, prepare
from mmsr.data.importers.foreign.detect import bring
from mmsr.data.importers.foreign.sequences import Sequences
from mmsr.errors import UserError

words = st.text("abc1é'\",", min_size=1, max_size=4)
lines = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=5)), max_size=8)


@given(lines=lines, blank=st.sampled_from([" ", "\t", "  ", " \t"]), end=st.sampled_from("\n\r"))
@settings(max_examples=60, deadline=None)
def test_each_item_is_a_row_with_its_position(
    lines: list[tuple[str, list[str]]],
    blank: str,
    end: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    end = end.replace("\r", "\r\n")
    path.write_bytes("".join(blank.join([u, *items]) + end + end for u, items in lines).encode())
    expected: list[tuple[str, str, int]] = []
    for user, items in lines:
        for item in items:
            expected.append((user, item, sum(row[0] == user for row in expected)))
    table = Sequences(path)
    rows = [row for piece in table.pieces(()) for row in piece.to_pylist()]
    assert [tuple(row.values()) for row in rows] == expected
    places = [
        f"{path}: line {2 * number + 1}" for number, (_, items) in enumerate(lines) for _ in items
    ]
    assert [table.place(row)[0] for row in range(len(rows))] == places


@pytest.mark.parametrize("name", ["s.txt", "s.txt.gz", "s.dat"])
@pytest.mark.parametrize("paired", [False, True])
def test_sequences_are_tables_with_positions(
    name: str, paired: bool, home: Path, tmp_path: Path, purchases: dict[str, list[Any]]
) -> None:
    frame = pd.DataFrame(purchases)
    frame["timestamp"] = frame.groupby("user_id").cumcount()
    frame.to_parquet(tmp_path / "rows.parquet")
    if paired:  # a line for each interaction
        text = "".join(f"{row.user_id} {row.item_id}\n" for row in frame.itertuples())
    else:
        groups = frame.groupby("user_id", sort=False)
        text = "".join(f"{user} {' '.join(group.item_id)}\n" for user, group in groups)
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found = bring(str(tmp_path / name), None if "txt" in name else "sequences").interactions
    prepared = prepare("d", Sources(found))
    expected = prepare("e", Sources(tmp_path / "rows.parquet")).dataset
    assert prepared.dataset.content_hash == expected.content_hash
    assert str(prepared.rows[0]) == f"{name}: 240 rows read = 240 kept"
    assert not prepare("d", Sources(found)).fresh


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"u i j\nv\n", "line 2 has a user without items: give some"),
        (b"u i j\n\nv,i,j\n", "line 3 has a user without items: separate them by blanks"),
        (b"u i\nv \xff\n", "is not UTF-8 text"),
        (b"u i\x01 j\n", "control character"),
        (b"\x1f\x8b\x08", "is a gzip file"),
        (b"PAR1\x15\x00\x15\x00", "is a Parquet file"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(
    content: bytes, said: str, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "s.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        prepare("d", Sources(Sequences(path)), ImportSettings(core=1))
    assert str(caught.value).startswith(str(path)), "not the file that is written in between"
    assert not (home / "imports").exists()


def test_a_gzip_file_that_is_cut_is_refused(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.txt.gz"
    path.write_bytes(gzip.compress(b"u i j k\n" * 1000)[:-20])
    with pytest.raises(UserError, match="is not a whole gzip file"):
        prepare("d", Sources(Sequences(path)))


def test_positions_are_no_moments(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text("".join(f"u{user} a b c d\n" for user in range(9)))
    with pytest.raises(UserError, match=r"s\.txt: the timestamps are positions, not moments"):
        prepare("d", Sources(Sequences(path)), ImportSettings(core=2, protocol="temporal"))

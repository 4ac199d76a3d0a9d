"""Vectors in NumPy files: all kinds of numbers and orders, and what is no matrix with ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsr.data import Sources, prepare
from mmsr.data.importers.foreign.arrays import Arrays
from mmsr.data.importers.foreign.given import vectors_of
from mmsr.errors import UserError

WriteTable = Callable[..., Path]
IDS = [f"i{item}" for item in range(12)]
VECTORS = np.arange(36, dtype=np.float32).reshape(12, 3) / 4


@pytest.fixture
def rows(purchases: dict[str, list[Any]], write_table: WriteTable) -> Path:
    return write_table("rows.csv", purchases)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("kind", ["txt", "npy", "npz"])
def test_all_kinds_are_the_same_vectors(order: Any, dtype: str, kind: str, tmp_path: Path) -> None:
    matrix = np.asarray(VECTORS, dtype=dtype, order=order)
    if kind == "npz":
        np.savez_compressed(tmp_path / "v.npz", ids=IDS, vectors=matrix)
        table = vectors_of(str(tmp_path / "v.npz"))
    else:
        np.save(tmp_path / "v.npy", matrix)
        if kind == "npy":
            np.save(tmp_path / "ids.npy", np.array(IDS, dtype="S4"))
        else:
            (tmp_path / "ids.txt").write_text("\r\n".join(IDS))
        table = vectors_of(f"{tmp_path / 'v.npy'},{tmp_path / 'ids'}.{kind}")
    assert isinstance(table, Arrays)
    found = [row for piece in table.pieces(()) for row in piece.to_pylist()]
    assert [row["item_id"] for row in found] == IDS
    assert [row["vector"] for row in found] == VECTORS.tolist()


def test_they_are_the_same_data_as_a_table(
    home: Path, rows: Path, tmp_path: Path, write_table: WriteTable
) -> None:
    table = write_table("v.parquet", {"item_id": IDS, "vector": list(VECTORS)})
    expected = prepare("e", Sources(rows, features={"image": table})).dataset
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "ids.txt").write_text("\n".join(IDS) + "\n")
    sources = Sources(
        rows, features={"image": vectors_of(f"{tmp_path / 'v.npy'},{tmp_path / 'ids.txt'}")}
    )
    prepared = prepare("d", sources)
    assert prepared.dataset.content_hash == expected.content_hash
    assert str(prepared.rows[1]) == "v.npy: 12 rows read = 12 kept"
    assert not prepare("d", sources).fresh
    (tmp_path / "ids.txt").write_text("\n".join(reversed(IDS)))
    with pytest.raises(UserError, match=r"made differently \(features/image\)"):
        prepare("d", sources)


def test_vectors_are_mapped_and_read_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsr.data.importers.foreign.arrays._BYTES", 5 * 3 * 4)
    np.save(tmp_path / "v.npy", VECTORS)
    assert [piece.num_rows for piece in Arrays(tmp_path / "v.npy").pieces(())] == [5, 5, 2]


BAD = {
    "objects": (np.array([[1, None]], dtype=object), "holds Python objects, which could run code"),
    "a vector": (np.zeros(12), "has 1 dimensions, expected 2"),
    "a cube": (np.zeros((12, 3, 1)), "has 3 dimensions, expected 2"),
    "texts": (np.array([["a"]] * 12), "holds <U1: write numbers"),
    "truths": (np.ones((12, 3), dtype=bool), "holds bool: write numbers"),
    "complex": (np.ones((12, 3), dtype=complex), "holds complex128: write numbers"),
    "wide floats": (np.ones((12, 3), dtype=np.longdouble), "write numbers of float16"),
    "records": (np.zeros((12, 3), dtype=[("a", "f4")]), "write numbers"),
    "too few": (VECTORS[1:], r"ids\.txt has 12 ids for the 11 vectors of"),
    "no width": (np.zeros((12, 0), dtype=np.float32), "has 0 numbers, expected one or more"),
    "nan": (np.where(VECTORS == 5, np.nan, VECTORS), "vector of item 'i6' has nan at position 2"),
    "infinity": (np.where(VECTORS == 5, np.inf, VECTORS), "item 'i6' has inf at position 2"),
    "too large": (VECTORS.astype(float) * 1e300, "has inf at position"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_matrix_of_numbers_is_refused(
    case: str, home: Path, rows: Path, tmp_path: Path
) -> None:
    matrix, said = BAD[case]
    np.save(tmp_path / "v.npy", matrix, allow_pickle=True)
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    table = Arrays(tmp_path / "v.npy", tmp_path / "ids.txt")
    with pytest.raises(UserError, match=said):
        prepare("d", Sources(rows, features={"image": table}))
    assert not (home / "datasets" / "d").exists()
    assert not (home / "imports").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("i0\n\ni2", "line 2 is blank"),
        ("", "has 0 ids for the 12 vectors"),
        (b"\xff\n", "is not UTF-8 text"),
        (None, "no such file"),
    ],
)
def test_bad_files_of_ids_are_refused(
    content: str | bytes | None, said: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    path = tmp_path / "ids.txt"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=said):
        Arrays(tmp_path / "v.npy", path).check()


@pytest.mark.parametrize("name", ["v.npy", "v.npz"])
@pytest.mark.parametrize("change", ["empty", "cut", "other", "missing", "folder"])
def test_damaged_files_are_refused(name: str, change: str, tmp_path: Path) -> None:
    path = tmp_path / name
    np.savez(path, ids=IDS, vectors=VECTORS) if name == "v.npz" else np.save(path, VECTORS)
    whole = path.read_bytes()
    path.unlink()
    if change == "folder":
        path.mkdir()
    elif change != "missing":
        path.write_bytes({"empty": b"", "cut": whole[:-40], "other": b"\x80\x04K\x01."}[change])
    with pytest.raises(UserError) as caught:
        Arrays(path).check()
    assert str(path) in str(caught.value)


def test_an_archive_needs_both_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", vectors=VECTORS, names=IDS)
    with pytest.raises(UserError, match=r"no array 'ids': save both.*arrays: names, vectors"):
        Arrays(tmp_path / "v.npz").check()
    np.savez(tmp_path / "v.npz", vectors=VECTORS, ids=np.array([{}] * 12, dtype=object))
    with pytest.raises(UserError, match="Python objects"):
        Arrays(tmp_path / "v.npz").check()
    with pytest.raises(UserError, match=r"vectors without ids: add a file with one id a line"):
        vectors_of("v.npy")

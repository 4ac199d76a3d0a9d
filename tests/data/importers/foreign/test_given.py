"""What is typed: files, patterns, addresses in a store, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsr.data import ImportSettings, Sources, prepare
from mmsr.data.importers.foreign.given import Given, opened
from mmsr.data.importers.foreign.remote import fetch
from mmsr.data.progress import Silent
from mmsr.errors import UserError
from mmsr.remote import RemotePath

WriteTable = Callable[..., Path]
IDS = [f"i{item}" for item in range(12)]
VECTORS = np.arange(36, dtype=np.float32).reshape(12, 3) / 4


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RemotePath:
    """A folder in a store of each kind."""
    if request.param == "s3":
        return RemotePath.parse(request.getfixturevalue("bucket"))
    (tmp_path / "store").mkdir()
    return RemotePath.parse((tmp_path / "store").as_uri())


@pytest.fixture
def filled(
    store: RemotePath, tmp_path: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> RemotePath:
    """The same with two parts of a table, a folder of MMRec, and vectors with ids."""
    for part in range(2):
        rows = {name: values[part * 120 :][:120] for name, values in purchases.items()}
        (store / f"part-{part}.csv").upload(write_table(f"part-{part}.csv", rows))
        (store / "parts" / f"day={part}" / "0.parquet").upload(write_table("0.parquet", rows))
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    for name in ("v.npy", "ids.txt"):
        (store / name).upload(tmp_path / name)
    rows = zip(*purchases.values(), strict=True)
    lines = ["\t".join(("userID", "itemID", "timestamp")), *("\t".join(map(str, r)) for r in rows)]
    (store / "shop" / "shop.inter").write_text("\n".join(lines))
    (store / "shop" / "image_feat.npy").upload(tmp_path / "v.npy")
    return store


class Notes(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def load(name: str, given: Given, reporter: Silent | None = None, **settings: Any) -> Any:
    with opened(given, reporter or Silent()) as (sources, columns, renaming):
        chosen = ImportSettings(columns=columns, **settings)
        return prepare(name, sources, chosen, reporter=renaming)


@pytest.mark.parametrize("pattern", ["part-*.csv", "parts"])
def test_addresses_are_the_same_as_files(
    pattern: str,
    filled: RemotePath,
    home: Path,
    purchases: dict[str, list[Any]],
    write_table: WriteTable,
) -> None:
    neutral = Sources(
        write_table("rows.csv", purchases),
        features={"image": write_table("v.parquet", {"item_id": IDS, "vector": list(VECTORS)})},
    )
    expected = prepare("e", neutral).dataset
    features = {"image": f"{filled / 'v.npy'},{filled / 'ids.txt'}"}
    given = Given(str(filled / pattern), features=features)
    prepared = load("d", given)
    assert prepared.dataset.content_hash == expected.content_hash
    provenance = prepared.dataset.manifest.provenance
    assert [file.path for file in provenance.inputs] == [given.interactions, features["image"]]
    assert f"--interactions '{given.interactions}'".replace("'", "") in provenance.command(
        "d"
    ).replace("'", "")
    assert not load("d", given).fresh
    assert not (home / "imports").exists()


def test_a_folder_of_another_library_may_be_in_a_store(filled: RemotePath, home: Path) -> None:
    given = Given(origin=str(filled / "shop"))
    with pytest.raises(UserError, match=r"none of its 12 items occurs") as caught:
        load("d", given)
    assert str(filled / "shop" / "image_feat.npy") in str(caught.value)
    assert not (home / "imports").exists()


def test_what_is_wrong_in_a_store_is_named_by_its_address(store: RemotePath, home: Path) -> None:
    (store / "r.csv").write_text("user_id,item_id,timestamp\na,x,1\na,,2\n")
    with pytest.raises(UserError) as caught:
        load("d", Given(str(store / "r.csv")))
    assert str(caught.value).startswith(f"{store / 'r.csv'}: line 3 has no item_id")
    for name in ("nothing.csv", "*.tsv", "nothing"):
        with pytest.raises(UserError, match="no such file: "):
            load("d", Given(str(store / name)))
    assert not (home / "imports").exists()


@pytest.mark.parametrize(
    "address",
    [
        "s3://KEY:hidden@bucket/rows.csv",
        "s3://bucket/rows.csv?access_key=a&secret_key=hidden",
        "https://user:hidden@host/rows.csv",
        "postgresql://user:hidden@host/rows",
        "ftp://user:hidden@host/rows.csv",
        "s3://bucket",
        "s3:///rows.csv",
    ],
)
def test_other_addresses_are_refused_and_show_no_secret(address: str, home: Path) -> None:
    with pytest.raises(UserError) as caught:
        load("d", Given(address))
    assert "hidden" not in str(caught.value)
    assert "s3://BUCKET/FILE" in str(caught.value) or "credentials by the env" in str(caught.value)
    assert not (home / "imports").exists()


def test_a_store_that_refuses_is_named(bucket: str, tmp_path: Path) -> None:
    address = "s3://a-bucket-that-is-not-there/x.csv"
    with pytest.raises(UserError, match=r"no such file|cannot read") as caught:
        fetch(address, tmp_path)
    assert address in str(caught.value)


def test_names_in_a_store_stay_inside_the_copy(
    store: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [RemotePath(store.root, "parts/../../../out.csv")]
    monkeypatch.setattr("mmsr.data.importers.foreign.remote._found", lambda *_: found)
    with pytest.raises(UserError, match="which is no plain file name: nothing is written"):
        fetch(str(store / "parts"), tmp_path / "copy")


def test_notes_name_the_table(
    home: Path, tmp_path: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    write_table("rows.csv", purchases)
    for part in range(2):
        items = {"item_id": [IDS[part]], "title": [f"red {part}"], "price": [part]}
        write_table(f"items-{part}.csv", items)
    notes = Notes()
    pattern = f"{tmp_path}/items-*.csv"
    load("d", Given(f"{tmp_path}/rows.csv", pattern), notes, text=False)
    assert [note.partition(": columns not used: price")[0] for note in notes.notes[:1]] == [
        f"note: {pattern}"
    ]
    assert any(f"warning: {pattern} lists only 2 of the 12 items" in note for note in notes.notes)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Given(), "no interactions are given: give --interactions FILE, or --from FOLDER"),
        (Given("a.csv", origin="b"), "--from and --interactions both name interactions"),
        (Given("a.csv", layout="recbole"), "--format is for --from"),
        (Given(origin="nothing"), "no such file or folder: nothing"),
        (Given(origin="*.inter"), "give one file or folder to --from"),
        (Given("nothing.csv"), "no such file: nothing.csv"),
        (Given("nothing-*.csv"), "no file matches"),
        (Given("\0.csv"), "is no name of a file"),
        (Given(origin="\0"), "no such file or folder"),
        (Given("a" * 5000), "cannot read|File name too long"),
    ],
)
def test_what_does_not_fit_is_refused(given: Given, said: str, home: Path) -> None:
    with pytest.raises(UserError, match=said):
        load("d", given)


def test_tables_of_rectools_have_moments(
    home: Path, tmp_path: Path, purchases: dict[str, list[Any]], write_table: WriteTable
) -> None:
    expected = prepare("e", Sources(write_table("rows.csv", purchases))).dataset
    rows = {"datetime" if k == "timestamp" else k: v for k, v in purchases.items()}
    for name in ("r.csv", "r.parquet"):
        path = write_table(name, {**rows, "weight": [1.0] * 240})
        for layout in (None, "rectools"):
            prepared = load(name, Given(origin=str(path), layout=layout))
            assert prepared.dataset.content_hash == expected.content_hash
    with pytest.raises(UserError, match="is a table of no other library: give it by --interact"):
        load("d", Given(origin=f"{tmp_path}/rows.csv"))
    with pytest.raises(UserError, match="is no table of RecTools, which has the column 'datetime'"):
        load("d", Given(origin=f"{tmp_path}/rows.csv", layout="rectools"))
    (tmp_path / "r.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="no format that is plain: give --format recbole, mmrec"):
        load("d", Given(origin=f"{tmp_path}/r.bin"))


def test_the_command_that_imports_again_has_whole_paths(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.dat").write_text("".join(f"u{user} i0 i1 i2 i3\n" for user in range(9)))
    np.save(tmp_path / "v.npy", VECTORS[:4])
    (tmp_path / "ids.txt").write_text("\n".join(IDS[:4]))
    given = Given(features={"image": "v.npy,ids.txt"}, origin="s.dat", layout="sequences")
    prepared = load("d", given, protocol="leave-one-out", core=2)
    assert prepared.dataset.manifest.provenance.command("d") == (
        f"mmsr data import d --from {tmp_path}/s.dat --format sequences --features "
        f"image={tmp_path}/v.npy,{tmp_path}/ids.txt --protocol leave-one-out --core 2 --overwrite"
    )

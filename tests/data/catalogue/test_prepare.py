"""From published files to a prepared data set: counted, recorded, completely or not at all."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mmsr.cli import app
from mmsr.data import Dataset, ImportSettings
from mmsr.data.catalogue import entries
from mmsr.data.catalogue.entries import Entry, PublishedCounts
from mmsr.data.catalogue.formats import amazon2014
from mmsr.data.catalogue.formats.registry import FORMATS
from mmsr.data.catalogue.prepare import prepare
from mmsr.data.catalogue.published import compared
from mmsr.data.manifest import Manifest
from mmsr.data.progress import Advance, Silent
from mmsr.errors import UserError

from .formats.raw import MILLISECOND, SECOND, lines, packed, pairs_of, record, review, zipped

ITEMS = tuple(f"B00000000{n}" for n in range(1, 4))
TITLES = ["red cream", "blue cream", "green soap"]
NAMES = {
    "reviews": "reviews_Beauty_5.json.gz",
    "metadata": "meta_Beauty.json.gz",
    "images": "image_features_Beauty.b",
}
Put = Callable[..., Path]


def beauty() -> dict[str, bytes]:
    """Files of a tiny Beauty: 6 users, 3 items, 36 interactions, one of them twice."""
    rows = [review(user, item, SECOND + time) for user, item, time in pairs_of(6, ITEMS)]
    metadata = [{"asin": item, "title": title} for item, title in zip(ITEMS, TITLES, strict=True)]
    images = [record(item.encode(), n + 0.5) for n, item in enumerate(ITEMS[:2])]
    return {
        "reviews": packed(lines(*rows, rows[0], review(None))),
        "metadata": packed(lines(*metadata, {"asin": "B000000009", "title": "unsold"})),
        "images": b"".join([*images, record(b"B000000009")]),
    }


@pytest.fixture
def put(home: Path) -> Put:
    """Put files of Beauty where `mmsr data fetch` does, or elsewhere."""

    def write(folder: Path | None = None, **changed: bytes | None) -> Path:
        folder = folder or home / "downloads" / "beauty"
        folder.mkdir(parents=True, exist_ok=True)
        for role, content in (beauty() | changed).items():
            if content is not None:
                (folder / NAMES[role]).write_bytes(content)
        return folder

    return write


def left(home: Path) -> set[str]:
    """Names in the folder of data sets but for locks."""
    folder = home / "datasets"
    return {path.name for path in folder.glob("*") if path.suffix != ".lock"}


def test_from_files_to_data_set(put: Put, home: Path) -> None:
    folder = put()
    prepared = prepare("beauty")
    assert prepared.fresh
    assert [str(count) for count in prepared.rows] == [
        "reviews_Beauty_5.json.gz: 38 rows read = "
        "1 without user, item or time + 1 repeated + 36 kept",
        "meta_Beauty.json.gz: 4 rows read = 1 of items without interactions + 3 kept",
        "image_features_Beauty.b: 3 rows read = 1 of items without interactions + 2 kept",
    ]
    dataset = Dataset.open("beauty")
    counts = dataset.manifest.counts
    assert (counts.users, counts.items, counts.interactions) == (6, 3, 36)
    assert dataset.modalities == ("image", "text")
    vectors = dataset.features("image")
    np.testing.assert_array_equal(vectors.vectors[:, 0], [0.5, 1.5])
    assert dataset.item_table.column("title").to_pylist() == TITLES
    made = dataset.manifest.provenance
    assert [(file.role, file.path, file.sha256, file.bytes) for file in made.inputs] == [
        (
            role,
            f"$MMSR_HOME/downloads/beauty/{name}",
            hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            (folder / name).stat().st_size,
        )
        for role, name in NAMES.items()
    ]
    assert made.command("beauty") == "mmsr data prepare beauty --as beauty --overwrite"
    assert left(home) == {"beauty"}


def test_histories_are_those_of_the_reviews(put: Put) -> None:
    put()
    dataset = prepare("beauty", settings=ImportSettings(protocol="leave-one-out")).dataset
    expected: dict[str, list[str]] = {}
    for user, item, _ in sorted(pairs_of(6, ITEMS), key=lambda row: row[2]):
        expected.setdefault(user, []).append(item)
    table = pa.ipc.open_file(dataset.path / "development.arrow").read_all()
    ids, users = dataset.item_ids, dataset.user_ids
    for row in table.to_pylist():
        assert [ids[item] for item in row["items"]] == expected[users[row["user"]]][:-1]


def test_the_same_again_does_nothing_and_others_are_refused(
    put: Put, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put()
    prepare("beauty")
    before = Manifest.read(home / "datasets" / "beauty")
    with monkeypatch.context() as patch:
        patch.setitem(FORMATS, "amazon2014", None)  # it is not parsed again
        assert not prepare("beauty").fresh
        with pytest.raises(UserError, match=r"was made differently \(core\)"):
            prepare("beauty", settings=ImportSettings(core=2))
    prepare("beauty", "other", settings=ImportSettings(core=2, protocol="leave-one-out"))
    made = Manifest.read(home / "datasets" / "other").provenance
    assert made.command("other") == (
        "mmsr data prepare beauty --as other --protocol leave-one-out --core 2 --overwrite"
    )
    assert prepare("beauty", overwrite=True).fresh
    assert Manifest.read(home / "datasets" / "beauty").content_hash == before.content_hash
    (home / "held-out" / "beauty" / "test.arrow").unlink()
    assert prepare("beauty").fresh
    assert left(home) == {"beauty", "other"}


def test_files_of_another_folder(put: Put, home: Path, tmp_path: Path) -> None:
    folder = put(tmp_path / "my copies")
    made = prepare("beauty", source=folder).dataset.manifest.provenance
    assert {Path(file.path).parent for file in made.inputs} == {folder}
    assert shlex.split(made.command("beauty"))[4:] == [
        *("--as", "beauty", "--source", str(folder), "--overwrite")
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES.values())
    put()
    assert not prepare("beauty").fresh  # the same files, elsewhere


def test_what_is_missing_is_named(put: Put, home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"reviews_Beauty_5.json.gz.*run `mmsr data fetch beauty`"):
        prepare("beauty")
    folder = put(tmp_path / "part", images=None)
    with pytest.raises(UserError, match=r"image_features_Beauty.b of 'beauty' is not in .*part"):
        prepare("beauty", source=folder)
    with pytest.raises(UserError, match=r"cannot read a.*: File name too long"):
        prepare("beauty", source=Path("a" * 5000))
    with pytest.raises(UserError, match=r"unknown public data set 'beuty': did you mean 'beauty'"):
        prepare("beuty")
    with pytest.raises(UserError, match=r"unknown protocol"):
        prepare("beauty", settings=ImportSettings(protocol="random"))
    with pytest.raises(UserError, match=r"bad data set name"):
        prepare("beauty", "../up")
    assert not (home / "datasets").exists() or not left(home)


def test_another_content_than_at_the_first_download(put: Put, home: Path) -> None:
    put()
    prepare("beauty", "first")
    put(images=beauty()["images"] + record(ITEMS[2].encode()))
    with pytest.raises(UserError, match=r"image_features_Beauty.b has another SHA-256"):
        prepare("beauty", "second")
    assert left(home) == {"first"}


def test_a_wrong_checksum(home: Path, tmp_path: Path) -> None:
    zipped(tmp_path / "ml-1m.zip", {"ml-1m/ratings.dat": b"", "ml-1m/movies.dat": b""})
    with pytest.raises(UserError, match=r"ml-1m.zip has .*, and the catalogue says"):
        prepare("ml-1m", source=tmp_path)
    assert not (home / "datasets").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"reviews": packed(lines(review(), "{"))},
            r"reviews_Beauty_5.json.gz: line 2 is no object .* remove it and its \.sha256",
        ),
        (
            {"reviews": beauty()["reviews"][:-9]},
            r"reviews_Beauty_5.json.gz is cut or damaged",
        ),
        ({"metadata": packed(b"{'asin': B}")}, r"meta_Beauty.json.gz: line 1 is no object"),
        (
            {"images": beauty()["images"][:-1]},
            r"image_features_Beauty.b is cut or damaged: its 49",
        ),
        ({"images": record(ITEMS[0].encode())}, r"image_features_Beauty.b: only one item has"),
        (
            {"reviews": packed(lines(*[review(f"U{n}", ITEMS[0]) for n in range(5)]))},
            r"downloads/beauty/reviews_Beauty_5.json.gz: nothing is left of 5 interactions",
        ),
    ],
)
def test_nothing_half_made_stays(
    changed: dict[str, bytes], said: str, put: Put, home: Path
) -> None:
    put(**changed)
    with pytest.raises(UserError, match=said) as refused:
        prepare("beauty")
    assert "tables" not in str(refused.value)
    assert left(home) == set()
    assert not list((home / "held-out").rglob("*.arrow"))


def test_what_a_killed_process_left_is_removed(put: Put, home: Path) -> None:
    put()
    old = home / "imports" / "0123abcd"
    old.mkdir(parents=True)
    (old / "interactions.parquet").write_bytes(b"half")
    old.with_suffix(".lock").touch()
    prepare("beauty")
    assert left(home) == {"beauty"}
    assert not (home / "imports").exists()


@pytest.mark.parametrize("name", ["beauty.tables", "beauty.draft-x", "a" * 100])
def test_any_name_can_be_chosen(name: str, put: Put, home: Path) -> None:
    put()
    assert prepare("beauty", name).fresh
    assert left(home) == {name}
    with pytest.raises(UserError, match="bad data set name"):
        prepare("beauty", "beauty+tables")


def test_an_interrupt_leaves_nothing(put: Put, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put()

    def interrupted(files: Any, folder: Path, reporter: Any) -> Any:
        amazon2014.read(files, folder, reporter)
        assert folder.parent == home / "imports"
        raise KeyboardInterrupt

    monkeypatch.setitem(FORMATS, "amazon2014", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare("beauty")
    assert left(home) == set()
    assert not (home / "imports").exists()


def test_two_at_once_parse_once(put: Put, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put()
    waits, parsed = Event(), []

    class Waiting(Silent):
        def note(self, message: str) -> None:
            assert message == "waiting for another import of 'beauty' to finish …"
            waits.set()

    with ThreadPoolExecutor() as pool:

        def read(files: Any, folder: Path, reporter: Any) -> Any:
            parsed.append(folder)
            if len(parsed) == 1:
                other.append(pool.submit(prepare, "beauty", reporter=Waiting()))
                assert waits.wait(30)
            return amazon2014.read(files, folder, reporter)

        other: list[Future[Any]] = []
        monkeypatch.setitem(FORMATS, "amazon2014", read)
        assert prepare("beauty").fresh
        assert not other[0].result().fresh
    assert len(parsed) == 1


def of_2023(folder: Path, *roles: str) -> Path:
    """Files of Cell Phones 2023; the ratings have one user less than the reviews."""
    name = "Cell_Phones_and_Accessories"
    pairs = [(user, item, MILLISECOND + 1000 * time) for user, item, time in pairs_of(6, ITEMS)]
    csv = [f"{user},{item},5.0,{time}" for user, item, time in pairs if user != "U5"]
    names = ("user_id", "parent_asin", "timestamp")
    contents = {
        "reviews": (
            f"{name}.jsonl.gz",
            lines(*(dict(zip(names, row, strict=True)) for row in pairs)),
        ),
        "ratings": (f"{name}.csv.gz", lines("user_id,parent_asin,rating,timestamp", *csv)),
        "metadata": (
            f"meta_{name}.jsonl.gz",
            lines(*({"parent_asin": item, "title": f"x{item}y"} for item in ITEMS)),
        ),
    }
    folder.mkdir()
    for role in roles:
        file, content = contents[role]
        (folder / file).write_bytes(packed(content))
    return folder


@pytest.mark.parametrize(
    ("roles", "n_users"),
    [(("reviews",), 6), (("ratings",), 5), (("reviews", "ratings"), 5)],
)
def test_2023_from_ratings_or_reviews(
    roles: tuple[str, ...], n_users: int, home: Path, tmp_path: Path
) -> None:
    folder = of_2023(tmp_path / "files", *roles, "metadata")
    manifest = prepare("phone-2023", source=folder).dataset.manifest
    assert manifest.counts.users == n_users
    used = "ratings" if "ratings" in roles else "reviews"
    assert {file.role for file in manifest.provenance.inputs} == {used, "metadata"}


def test_2023_without_either_asks_for_the_ratings(home: Path, tmp_path: Path) -> None:
    folder = of_2023(tmp_path / "files", "metadata")
    with pytest.raises(UserError, match=r"Cell_Phones_and_Accessories.csv.gz of 'phone-2023'"):
        prepare("phone-2023", source=folder)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Callable[[PublishedCounts], None]:
    """Change the published counts of Beauty."""

    def change(counts: PublishedCounts) -> None:
        def changed(name: str) -> Entry:
            return replace(entries.entry(name), published=counts)

        monkeypatch.setattr("mmsr.data.catalogue.published.entry", changed)

    return change


def test_counts_are_compared_with_table_1(
    put: Put, published: Callable[[PublishedCounts], None]
) -> None:
    put()
    manifest = prepare("beauty").dataset.manifest
    assert compared(manifest) == (
        "warning: the counts are not those of the paper's table 1: 6 users, 3 items, "
        "36 interactions; there 22,363 users, 12,101 items, 198,502 interactions"
    )
    published(PublishedCounts(6, 3, 36))
    assert compared(manifest) == (
        "the counts are those of the paper's table 1: 6 users, 3 items, 36 interactions"
    )
    other = prepare("beauty", "core2", settings=ImportSettings(core=2)).dataset.manifest
    assert compared(other) is None


def test_counts_of_a_data_set_that_the_catalogue_does_not_know(put: Put) -> None:
    put()
    manifest = prepare("beauty").dataset.manifest
    unknown = manifest.provenance.model_copy(update={"entry": "gone"})
    own = manifest.provenance.model_copy(update={"entry": None})
    for provenance in (unknown, own):
        assert compared(manifest.model_copy(update={"provenance": provenance})) is None


def test_the_six_data_sets_have_the_published_counts() -> None:
    phone, kitchen = (entries.entry(name).published for name in ("phone", "kitchen"))
    assert phone == PublishedCounts(27_879, 10_429, 194_439)
    assert kitchen == PublishedCounts(66_519, 28_237, 551_682)
    assert {entries.entry(name).format for name in entries.names()} == set(FORMATS)


def test_the_command(
    put: Put, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put()

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmsr", "data", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            app.main()
        return int(caught.value.code or 0), *capsys.readouterr()

    code, out, err = run("prepare", "beauty", "--as", "mine", "--core", "5")
    assert code == 0
    assert "prepared mine: 6 users, 3 items, 36 interactions" in out
    assert "reviews_Beauty_5.json.gz: 38 rows read = 1 without user" in out
    assert "warning: the counts are not those of the paper's table 1" in out
    assert "parsing reviews_Beauty_5.json.gz …" in err
    assert run("prepare", "beauty", "--as", "mine")[1].startswith("mine is up to date")
    code, out, _ = run("describe", "mine")
    assert code == 0
    assert "warning: the counts are not those of the paper's table 1" in out
    assert "$MMSR_HOME/downloads/beauty/meta_Beauty.json.gz" in out
    code, _, err = run("prepare", "toys")
    assert code == 2
    assert err.count("\n") == 1
    assert "run `mmsr data fetch toys`" in err


def test_stages_say_how_far_reading_is(put: Put, home: Path) -> None:
    put()
    parsed: dict[str, int] = {}

    class Counting(Silent):
        @contextmanager
        def stage(self, title: str, total: int | None = None) -> Iterator[Advance]:
            parsed[title] = 0

            def advance(amount: int) -> None:
                parsed[title] += amount

            yield advance
            assert not title.startswith("parsing") or parsed[title] == total

    prepare("beauty", reporter=Counting())
    sizes = {name: len(beauty()[role]) for role, name in NAMES.items()}
    assert {name: parsed[f"parsing {name}"] for name in sizes} == sizes


def test_manifests_of_before_are_read(put: Put, home: Path) -> None:
    put()
    folder = prepare("beauty").dataset.path
    tree = json.loads((folder / "manifest.json").read_text())
    del tree["provenance"]["entry"]
    (folder / "manifest.json").write_text(json.dumps(tree))
    assert Manifest.read(folder).provenance.entry is None

"""The test part: apart from the data set, opened by one function, each opening on record."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmsr.data import Dataset, ImportSettings, Manifest, Sources, prepare
from mmsr.data.closed import TRIAL, in_trial
from mmsr.data.folders import waiting_test_file
from mmsr.data.held_out import check_test, open_test
from mmsr.data.openings import openings, set_apart_at
from mmsr.data.storage import read_arrow
from mmsr.errors import UserError
from mmsr.provenance import now

WriteTable = Callable[..., Path]


@pytest.fixture
def sources(purchases: dict[str, list[Any]], write_table: WriteTable) -> Sources:
    return Sources(write_table("rows.csv", purchases))


@pytest.fixture
def others(purchases: dict[str, list[Any]], write_table: WriteTable) -> Sources:
    """Other purchases, and fewer users."""
    n = len(purchases["user_id"]) - 8
    items = [f"i{place * 7 % 12}" for place in range(n)]
    columns = {name: values[:n] for name, values in purchases.items()}
    return Sources(write_table("others.csv", {**columns, "item_id": items}))


@pytest.fixture
def dataset(home: Path, sources: Sources) -> Dataset:
    return prepare("d", sources).dataset


@pytest.fixture
def part(home: Path) -> Path:
    return home / "held-out" / "d" / "test.arrow"


def opened(dataset: Dataset) -> int:
    return len(open_test(dataset, who="tests", why="their oracle"))


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def as_of_before(dataset: Dataset, part: Path) -> Path:
    """Lay a data set out as earlier versions of mmsr did; the test part's file."""
    old = part.rename(dataset.path / "test.arrow")
    shutil.rmtree(part.parent.parent)
    manifest = dataset.path / "manifest.json"
    tree = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**tree, "test_file": "test.arrow"}))
    return old


def test_an_opening_is_recorded_before_test_is_read(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert openings(dataset) == ()
    check_test(dataset)
    assert openings(dataset) == (), "to see that it is there opens nothing"
    monkeypatch.setattr("mmsr.data.held_out._read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_test(dataset, who="mmsr study finalize", why="study s: trials 3, 5")
    (one,) = openings(dataset)
    assert (one.who, one.why) == ("mmsr study finalize", "study s: trials 3, 5")
    assert (one.dataset, one.content_hash) == ("d", dataset.content_hash)
    assert one.at.endswith("+00:00")
    assert all((one.host, one.user, one.version))


def test_the_record_is_on_disk_before_test_is_read(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real = os.fsync

    def read(*_: object) -> None:
        steps.append("read")
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", lambda file: (steps.append("fsync"), real(file)))
    monkeypatch.setattr("mmsr.data.held_out._read", read)
    with pytest.raises(KeyboardInterrupt):
        opened(dataset)
    assert steps == ["fsync", "fsync", "read"], "the file, and the folder that it may be new in"


def test_where_the_opening_cannot_be_recorded_test_stays_closed(
    dataset: Dataset, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part.with_name("openings.jsonl").mkdir()
    monkeypatch.setattr("mmsr.data.held_out._read", interrupted)
    with pytest.raises(UserError, match=r"stays closed, since .* recorded in .*openings\.jsonl"):
        opened(dataset)


def test_what_can_be_seen_without_test_costs_no_opening(
    dataset: Dataset, home: Path, others: Sources
) -> None:
    other = prepare("other", others).dataset
    for file, message in {
        "development.arrow": "does not have the content .* mmsr data import d ",
        "users.arrow": "does not have the content",
        "items.arrow": r"cannot read .*items\.arrow",
    }.items():
        table = dataset.path / file
        before = table.read_bytes()
        table.unlink()
        if (other.path / file).read_bytes() != before:
            shutil.copy(other.path / file, table)
        with pytest.raises(UserError, match=message):
            opened(dataset)
        table.unlink(missing_ok=True)
        table.write_bytes(before)
    assert openings(dataset) == ()
    assert opened(dataset) > 0


def test_another_record_follows_that_of_the_data_set(
    dataset: Dataset, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[int] = []

    def look() -> int:
        def recorded() -> None:
            others.append(len(openings(dataset)))

        return len(open_test(dataset, who="tests", why="a record", recorded=recorded))

    record = part.with_name("openings.jsonl")
    record.mkdir()
    with pytest.raises(UserError, match="stays closed"):
        look()
    assert others == [], "what did not happen is on no record"
    record.rmdir()
    monkeypatch.setattr("mmsr.data.held_out._read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        look()
    assert others == [1], "after the data set's own, and before anything is read"


def test_any_character_may_be_in_a_line(dataset: Dataset) -> None:
    why = "study \u2028\x85\x0b\x1c\r\n toys"
    open_test(dataset, who="tests", why=why)
    (one,) = openings(dataset)
    assert one.why == why


def test_a_line_that_was_cut_off_spoils_no_other(dataset: Dataset, part: Path) -> None:
    opened(dataset)
    with part.with_name("openings.jsonl").open("a") as file:
        file.write('{"at": "2026-01-01T00:0')
    opened(dataset)
    found = openings(dataset)
    assert [one.who for one in found] == ["tests", "tests", "unknown"]
    assert "damaged entry in" in found[-1].why


def test_openings_of_the_same_content_count_under_any_name(
    dataset: Dataset, sources: Sources
) -> None:
    twin = prepare("twin", sources).dataset
    other = prepare("other", sources, ImportSettings(protocol="leave-one-out")).dataset
    for one in (twin, dataset, other):
        opened(one)
    assert {one.dataset for one in openings(dataset)} == {"d", "twin"}
    assert openings(dataset) == openings(twin)
    assert [one.dataset for one in openings(other)] == ["other"]
    prepare("twin", sources, ImportSettings(protocol="leave-one-out"), overwrite=True)
    assert {one.dataset for one in openings(dataset)} == {"d", "twin"}, "the past stays"


def test_a_test_part_of_other_content_is_refused(
    dataset: Dataset, part: Path, others: Sources
) -> None:
    prepare("other", others)
    shutil.copy(part.parents[1] / "other" / "test.arrow", part)
    with pytest.raises(UserError, match=r"do not make up the content .* mmsr data import d "):
        opened(dataset)
    part.write_bytes(b"no arrow file")
    with pytest.raises(UserError, match=r"cannot read .*test\.arrow.*--overwrite"):
        opened(dataset)


@pytest.mark.parametrize("look", [opened, check_test])
def test_a_trial_opens_nothing(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, look: Callable[[Dataset], object]
) -> None:
    with monkeypatch.context() as inside:
        inside.setenv(TRIAL, "trial 3")
        with pytest.raises(UserError, match=r"test is closed to trials.*belongs to trial 3"):
            look(dataset)
    assert openings(dataset) == ()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_nor_does_a_process_that_it_starts(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setenv(TRIAL, "trial 3")
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(in_trial)


def ways_to(dataset: Dataset, part: Path) -> Iterator[Path]:
    """Paths to the test part, by links, by copies and by `..`."""
    yield part
    yield dataset.path / ".." / ".." / "held-out" / "d" / "test.arrow"
    yield Path(os.path.relpath(part))
    (dataset.path / "users.arrow").unlink()
    (dataset.path / "users.arrow").symlink_to(part)
    yield dataset.path / "users.arrow"
    folder = dataset.path.parent / "linked"
    folder.symlink_to(part.parent)
    yield folder / "test.arrow"
    copy = part.parents[3] / "copy" / "held-out" / "d" / "renamed.arrow"
    copy.parent.mkdir(parents=True)
    yield Path(shutil.copy(part, copy))
    yield Path(shutil.copy(part, dataset.path / "test.arrow"))
    stored = part.parents[3] / "store" / "abc123"
    stored.parent.mkdir()
    shutil.move(dataset.path / "test.arrow", stored)
    (dataset.path / "test.arrow").symlink_to(stored)
    yield dataset.path / "test.arrow"
    yield Path(os.path.relpath(dataset.path / "test.arrow"))
    of_that_name = dataset.path.parent / "features" / "test.arrow"
    of_that_name.parent.mkdir()
    yield Path(shutil.copy(part, of_that_name))


def test_no_path_leads_to_it(dataset: Dataset, part: Path) -> None:
    for path in ways_to(dataset, part):
        with pytest.raises(UserError, match="test is closed to trials"):
            read_arrow(path)
    for folder in (part.parent, dataset.path / "../../held-out/d", dataset.path.parent / "linked"):
        with pytest.raises(UserError, match="test is closed to trials"):
            Dataset(folder)


def test_a_modality_may_be_called_test(
    home: Path, sources: Sources, write_table: WriteTable
) -> None:
    vectors = {"item_id": ["i0", "i1", "i2"], "vector": [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]}
    tables = Sources(sources.interactions, features={"test": write_table("v.parquet", vectors)})
    dataset = prepare("d", tables).dataset
    assert len(dataset.features("test").items) == 3
    assert opened(dataset) > 0


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in the home", "behind a link"])
@pytest.mark.parametrize("name", ["held-out", "features", "test.arrow"])
def test_a_data_set_may_have_any_name(
    home: Path, tmp_path: Path, sources: Sources, name: str, elsewhere: bool
) -> None:
    if elsewhere:
        (tmp_path / "elsewhere").mkdir()
        home.mkdir(exist_ok=True)
        (home / "datasets").symlink_to(tmp_path / "elsewhere")
    assert prepare(name, sources).fresh
    dataset = Dataset.open(name)
    assert len(dataset.development()) > 0
    assert opened(dataset) > 0
    with pytest.raises(UserError, match="test is closed to trials"):
        read_arrow(home / "held-out" / name / "test.arrow")


def test_a_home_below_a_folder_of_that_name_is_a_home(
    tmp_path: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMSR_HOME", str(tmp_path / "held-out" / "home"))
    dataset = prepare("d", sources).dataset
    assert len(dataset.development()) > 0
    assert opened(dataset) > 0


def test_a_data_set_of_before_is_set_apart_when_it_is_found(dataset: Dataset, part: Path) -> None:
    expected = opened(dataset)
    old = as_of_before(dataset, part)
    again = Dataset.open("d")
    assert (old.exists(), part.exists()) == (False, True)
    assert again.manifest == dataset.manifest
    assert openings(again) == (), "a move is no opening"
    assert opened(again) == expected


def test_the_record_says_since_when_it_is_complete(
    dataset: Dataset, part: Path, sources: Sources
) -> None:
    assert set_apart_at(dataset) is None
    as_of_before(dataset, part)
    moved = set_apart_at(Dataset.open("d"))
    assert moved is not None
    assert moved <= now()
    assert set_apart_at(Dataset.open("d")) == moved
    again = prepare("d", sources, overwrite=True).dataset
    assert set_apart_at(again) == set_apart_at(prepare("twin", sources).dataset) == moved
    other = prepare("other", sources, ImportSettings(protocol="leave-one-out")).dataset
    assert set_apart_at(other) is None


def test_it_is_set_apart_from_another_file_system(
    dataset: Dataset, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename from the one folder to the other fails, as between file systems."""
    expected = opened(dataset)
    old = as_of_before(dataset, part)
    rename = os.replace

    def within(source: Path, target: Path) -> None:
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target)

    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, within)
    assert opened(Dataset.open("d")) == expected
    assert not old.exists()
    assert {path.name for path in part.parent.iterdir()} == {"test.arrow", "openings.jsonl"}


def test_a_move_that_is_cut_off_is_made_up_for(
    dataset: Dataset, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = as_of_before(dataset, part)
    part.parent.mkdir(parents=True)
    part.with_name(".copy.arrow.partial").write_bytes(b"half")
    with monkeypatch.context() as broken:
        broken.setattr("mmsr.data.folders.append_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Dataset.open("d")
    assert (old.exists(), part.exists()) == (True, True)
    assert set_apart_at(Dataset.open("d")) is not None
    assert not old.exists()
    assert {path.name for path in part.parent.iterdir()} == {"test.arrow", "openings.jsonl"}


def test_of_a_link_what_it_leads_to_is_copied(dataset: Dataset, part: Path, tmp_path: Path) -> None:
    expected = opened(dataset)
    old = as_of_before(dataset, part)
    stored = tmp_path / "store" / "abc123"
    stored.parent.mkdir()
    old.rename(stored)
    old.symlink_to(os.path.relpath(stored, old.parent))
    assert opened(Dataset.open("d")) == expected
    assert not old.is_symlink()
    assert not part.is_symlink()
    assert stored.exists()


def test_a_trial_moves_nothing(
    dataset: Dataset, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = as_of_before(dataset, part)
    with monkeypatch.context() as inside:
        inside.setenv(TRIAL, "trial 3")
        assert len(Dataset.open("d").train()) > 0
        with pytest.raises(UserError, match="test is closed to trials"):
            read_arrow(old)
    assert (old.exists(), part.exists()) == (True, False)


def test_the_same_import_sets_apart_too(dataset: Dataset, part: Path, sources: Sources) -> None:
    old = as_of_before(dataset, part)
    assert not prepare("d", sources).fresh
    assert (old.exists(), part.exists()) == (False, True)


def test_what_cannot_be_moved_is_named_with_the_way_out(
    dataset: Dataset, part: Path, home: Path, sources: Sources
) -> None:
    as_of_before(dataset, part)
    (home / "held-out").write_text("in the way")
    message = "cannot be moved to held-out/: Not a dir.* mmsr data import d --"
    for use in (lambda: Dataset.open("d"), lambda: prepare("d", sources)):
        with pytest.raises(UserError, match=message):
            use()
    (home / "held-out").unlink()
    assert opened(Dataset.open("d")) > 0


def test_of_two_test_parts_none_is_chosen(dataset: Dataset, part: Path, sources: Sources) -> None:
    old = Path(shutil.copy(part, dataset.path / "test.arrow"))
    Dataset.open("d")
    assert (old.exists(), part.exists()) == (False, True), "the same twice is one"
    old.write_bytes(b"another")
    with pytest.raises(UserError, match="another is there: remove the wrong one"):
        Dataset.open("d")
    assert prepare("d", sources, overwrite=True).fresh
    assert (old.exists(), part.exists()) == (False, True)
    old.symlink_to(part)
    Dataset.open("d")
    assert part.stat().st_size > 0, "a link to the test part is not the test part"


def test_the_same_import_makes_a_lost_test_part_again(
    dataset: Dataset, part: Path, sources: Sources
) -> None:
    expected = opened(dataset)
    part.unlink()
    assert len(Dataset.open("d").train()) > 0, "studies need none"
    for look in (opened, check_test):
        with pytest.raises(UserError, match=r"lacks its test part .*: import it again with mmsr "):
            look(dataset)
    assert prepare("d", sources).fresh
    assert opened(Dataset.open("d")) == expected


@pytest.mark.parametrize("renamed", [False, True], ids=["before the rename", "after it"])
def test_an_import_that_is_killed_leaves_the_old_or_the_new_as_a_whole(
    dataset: Dataset, part: Path, others: Sources, renamed: bool
) -> None:
    """The new test part waits; the rename of the data set's folder decides which one counts."""
    whole = prepare("whole", others).dataset
    waiting = waiting_test_file("d", whole.content_hash)
    shutil.copy(part.parents[1] / "whole" / "test.arrow", waiting)
    waiting.with_name(f"{waiting.name}.partial").write_bytes(b"half")
    if renamed:
        shutil.rmtree(dataset.path)
        shutil.copytree(whole.path, dataset.path)
    expected = whole if renamed else dataset
    now = Dataset.open("d")
    assert now.content_hash == expected.content_hash
    assert opened(now) == expected.manifest.counts.test_targets
    assert {path.name for path in part.parent.iterdir()} == {"test.arrow", "openings.jsonl"}


def test_a_damaged_manifest_does_not_keep_an_import_from_replacing_it(
    dataset: Dataset, part: Path, sources: Sources
) -> None:
    waiting_test_file("d", "0" * 64).write_bytes(b"of an import that was killed")
    (dataset.path / "manifest.json").write_text("{")
    assert prepare("d", sources, overwrite=True).fresh
    assert [path.name for path in part.parent.iterdir()] == ["test.arrow"]


def test_an_import_that_fails_leaves_no_test_part(
    home: Path, part: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(manifest: Manifest, folder: Path) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as broken:
        broken.setattr(Manifest, "write", full)
        with pytest.raises(UserError, match="No space left"):
            prepare("d", sources)
    assert list(part.parent.iterdir()) == []
    assert prepare("d", sources).fresh
    assert part.exists()

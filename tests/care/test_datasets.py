"""Data sets are removed and renamed whole, whenever the process is killed."""

from __future__ import annotations

import os
import shutil

import pytest
from filelock import FileLock

from mmsr.care.changes import carry_out
from mmsr.care.datasets import RemoveDataset, RenameDataset, described, removal, renaming
from mmsr.care.in_use import listed, studies_of
from mmsr.care.pending import finish_changes
from mmsr.data import Dataset, catalog
from mmsr.data.closed import TRIAL
from mmsr.data.folders import replacing
from mmsr.data.held_out import open_test
from mmsr.data.openings import openings
from mmsr.errors import UserError
from mmsr.study.storage.folder import StudyFolder


def open_once(name):
    return len(open_test(Dataset.open(name), who="tests", why="to count"))


def whys(name):
    return [one.why for one in openings(Dataset.open(name))]


def test_a_data_set_goes_with_its_test_part(study_home):
    assert "data set shop: 60 users, 40 items," in described("shop")
    assert carry_out(removal("shop")) == []
    assert catalog.names() == []
    assert not (study_home / "held-out" / "shop").exists()
    assert list((study_home / "changes").glob("*.json")) == []


def test_the_openings_of_a_removed_data_set_count_for_the_same_data(study_home, tmp_path):
    shutil.copytree(study_home, tmp_path / "copy")
    open_once("shop")
    (note,) = carry_out(removal("shop"))
    assert "the record of test's openings stays in" in note
    assert not (study_home / "held-out" / "shop" / "test.arrow").exists()
    for part in ("datasets", "held-out"):  # as if the same tables were imported as `again`
        shutil.copytree(tmp_path / "copy" / part / "shop", study_home / part / "again")
    assert whys("again") == ["to count"]


def test_a_renamed_data_set_is_the_same(study_home):
    before = Dataset.open("shop")
    targets = open_once("shop")
    carry_out(renaming("shop", "toys"))
    assert catalog.names() == ["toys"]
    after = Dataset.open("toys")
    assert after.content_hash == before.content_hash
    assert whys("toys") == ["to count"]
    assert open_once("toys") == targets
    assert not (study_home / "held-out" / "shop").exists()


def test_the_records_of_both_names_are_kept(study_home):
    record = study_home / "held-out" / "toys" / "openings.jsonl"
    record.parent.mkdir()
    record.write_text('{"what another": "data set left"}')  # its writer was killed
    open_once("shop")
    moved = record.parents[1].joinpath("shop", "openings.jsonl").read_text()
    carry_out(renaming("shop", "toys"))
    assert record.read_text() == '{"what another": "data set left"}\n' + moved


def test_whoever_opened_test_under_the_old_name_records_nothing_in_vain(study_home):
    dataset = Dataset.open("shop")
    carry_out(renaming("shop", "toys"))
    with pytest.raises(UserError, match="lacks its test part"):
        open_test(dataset, who="tests", why="too late")
    assert whys("toys") == []


def in_a_copy(home, tmp_path, monkeypatch, n):
    copy = tmp_path / f"copy-{n}"
    shutil.copytree(home, copy)
    monkeypatch.setenv("MMSR_HOME", str(copy))
    return copy


@pytest.mark.parametrize("both", [False, True], ids=["", "beside an older record"])
@pytest.mark.parametrize("change", [lambda: removal("shop"), lambda: renaming("shop", "toys")])
def test_a_killed_process_leaves_nothing_half_done(
    change, both, study_home, tmp_path, monkeypatch, killed, killed_at, contents
):
    open_once("shop")
    if both:
        record = study_home / "held-out" / "toys" / "openings.jsonl"
        record.parent.mkdir()
        record.write_text("an older line\n")
    before = contents(study_home)
    done = in_a_copy(study_home, tmp_path, monkeypatch, 0)
    carry_out(change())
    wanted, n = contents(done), 0
    while True:
        n += 1
        home = in_a_copy(study_home, tmp_path, monkeypatch, n)
        try:
            with killed_at(n):
                carry_out(change())
        except killed:
            notes = []
            finish_changes(notes.append)
            is_dropped = all("before anything was done" in note for note in notes)
            assert contents(home) == (before if is_dropped else wanted), n
            assert list((home / "changes").glob("*.json")) == []
        else:
            break
    assert n > 5, "there was something to be killed in"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (RemoveDataset, lambda: removal("shop", force=True)),
        (RenameDataset, lambda: renaming("shop", "toys")),
    ],
)
def test_what_was_not_begun_is_dropped(kind, change, study_home, contents, killed, killed_in):
    before = contents(study_home)
    with killed_in(kind, 0, done=False), pytest.raises(killed):
        carry_out(change())
    notes = []
    with FileLock(study_home / "datasets" / ".shop.lock"):  # somebody uses it meanwhile
        finish_changes(notes.append)
    assert [note.partition("interrupted ")[2] for note in notes] == [
        "before anything was done: give the command again"
    ]
    assert contents(study_home) == before
    finish_changes(pytest.fail)


def test_a_data_set_that_came_meanwhile_is_left_alone(study_home, killed, killed_in):
    with killed_in(RenameDataset, 0, done=True), pytest.raises(killed):
        carry_out(renaming("shop", "toys"))
    manifest = study_home / "datasets" / "shop" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"created_at": "', '"created_at": "1'))
    finish_changes(lambda _: None)
    assert catalog.names() == ["shop"]


def test_what_fails_at_first_is_not_tried_again(study_home, monkeypatch):
    change = removal("shop")
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.rename", raising(PermissionError(13, "not yours")))
        with pytest.raises(PermissionError):
            carry_out(change)
    assert list((study_home / "changes").glob("*.json")) == []
    assert catalog.names() == ["shop"]


def test_what_fails_later_goes_on(study_home, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RenameDataset, "_move_folder", raising(OSError(28, "No space left")))
        with pytest.raises(UserError, match=r"renaming .* the next mmsr command goes on with it"):
            carry_out(renaming("shop", "toys"))
        notes = []
        finish_changes(notes.append)
        assert "cannot go on" in notes[0]
    finish_changes(notes.append)
    assert catalog.names() == ["toys"]
    assert notes[1:] == ["renaming data set 'shop' to 'toys' was interrupted, and is done now"]


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


def test_a_link_goes_and_what_it_leads_to_stays(study_home, tmp_path, contents):
    folder = study_home / "datasets" / "shop"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    before = contents(tmp_path / "elsewhere")
    assert carry_out(removal("shop")) == [
        f"it was a link: its files stay in {tmp_path / 'elsewhere'}"
    ]
    assert {path.name for path in folder.parent.iterdir()} <= {".shop.lock"}
    assert contents(tmp_path / "elsewhere") == before


def test_files_that_cannot_be_removed_are_told(study_home, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", raising(PermissionError(13, "not yours")))
        with pytest.raises(UserError, match=r"not yours; the next mmsr command goes on with it"):
            carry_out(removal("shop"))
    finish_changes(lambda _: None)
    assert {path.name for path in (study_home / "datasets").iterdir()} <= {".shop.lock"}


def test_the_record_of_a_change_is_on_disk_before_the_first_step(study_home, monkeypatch):
    synced, real = set(), os.fsync

    def fsync(file):
        synced.add(os.fstat(file).st_ino)
        real(file)

    def first(self):
        (record,) = (study_home / "changes").glob("*.json")
        assert {record.stat().st_ino, record.parent.stat().st_ino} <= synced
        return ()

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(RenameDataset, "_move_test", first)
    carry_out(renaming("shop", "toys"))
    assert catalog.names() == ["toys"]


def test_a_damaged_record_of_a_change_is_told(study_home):
    (study_home / "changes").mkdir()
    (study_home / "changes" / "a.json").write_text('{"kind": "remove data set", "name": "../.."}')
    notes = []
    finish_changes(notes.append)
    assert [note.endswith("a.json is damaged: remove it") for note in notes] == [True]


def test_one_process_at_a_time_changes_a_home(study_home):
    change = removal("shop")
    (study_home / "changes").mkdir()
    with FileLock(study_home / "changes" / ".lock"):
        with pytest.raises(UserError, match="another command is removing or renaming something"):
            carry_out(change)
        finish_changes(pytest.fail)


def test_what_an_import_writes_is_refused(study_home):
    with FileLock(study_home / "datasets" / ".shop.lock"):
        for change in (removal("shop"), renaming("shop", "toys")):
            with pytest.raises(UserError, match="'shop' is being written by another process"):
                carry_out(change)
    with replacing(study_home / "datasets" / "toys") as draft:
        shutil.copytree(study_home / "datasets" / "shop", draft, dirs_exist_ok=True)
    with pytest.raises(UserError, match="there is a data set 'toys' already"):
        carry_out(renaming("shop", "toys"))


def test_what_studies_need_is_refused(study, study_home):
    assert studies_of("shop") == ["small"]
    assert "study small cannot be resumed or tested without it" in described("shop")
    with pytest.raises(UserError, match="needed by study small: remove the studies first, or give"):
        removal("shop")
    with pytest.raises(UserError, match="needed under this name by study small"):
        carry_out(renaming("shop", "toys"))
    with StudyFolder("small").locked(), pytest.raises(UserError, match="small, running now"):
        removal("shop", force=True)
    carry_out(removal("shop", force=True))
    assert catalog.names() == []


def test_a_damaged_data_set_can_be_removed(study_home):
    (study_home / "datasets" / "shop" / "manifest.json").write_text("{")
    assert described("shop").startswith("data set shop: its manifest is damaged, ")
    carry_out(removal("shop"))
    assert not (study_home / "datasets" / "shop").exists()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("a", "study a"),
        ("ab", "studies a and b"),
        ("abc", "studies a, b and c"),
        ("abcdefg", "studies a, b, c and 4 more"),
    ],
)
def test_studies_are_listed_in_words(names, words):
    assert listed([*names]) == words


def test_a_study_that_cannot_be_read_may_need_it(study, study_home):
    (study_home / "studies" / "small" / "study.json").write_text("{")
    with pytest.raises(UserError, match="needed by study small"):
        removal("shop")


@pytest.mark.parametrize(
    ("name", "new", "told"),
    [
        ("shopp", "toys", "unknown data set 'shopp': did you mean 'shop'"),
        ("..", "toys", "unknown data set"),
        ("shop", "a/b", "bad data set name 'a/b'"),
        ("shop", "shop", "called 'shop' already"),
    ],
)
def test_wrong_names_are_refused(name, new, told, study_home):
    with pytest.raises(UserError, match=told):
        carry_out(renaming(name, new))


def test_trials_change_nothing(study_home, monkeypatch):
    change = renaming("shop", "toys")
    monkeypatch.setenv(TRIAL, "trial 3")
    with pytest.raises(UserError, match="test is closed to trials"):
        carry_out(change)


def test_a_home_in_an_object_store_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", f"file://{tmp_path}/store")
    monkeypatch.setenv("MMSR_COPIES", str(tmp_path / "copies"))
    with pytest.raises(UserError, match="removing data set 'shop': the home is in an object store"):
        removal("shop")

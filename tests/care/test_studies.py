"""Studies are removed and renamed whole: storage, folder, what names them."""

from __future__ import annotations

import json
import shutil
import sqlite3

import optuna
import pytest
from filelock import FileLock

from mmsr.care import storage_names
from mmsr.care.changes import carry_out
from mmsr.care.pending import finish_changes
from mmsr.care.studies import (
    RemoveDamagedStudy,
    RemoveStudy,
    RenameStudy,
    described,
    removal,
    renaming,
)
from mmsr.errors import StorageLost, UserError
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage.driver_lock import claimed
from mmsr.study.storage.folder import StudyFolder, study_names
from mmsr.study.storage.known_study import look_up


@pytest.fixture
def storage(study_home):
    return f"sqlite:///{study_home / 'optuna.db'}"


@pytest.fixture
def part(study, study_home, storage):
    """The final runs of the study, with a folder and a record of their own."""
    name = "small/finalize-12345678"
    made = optuna.create_study(study_name=name, storage=storage)
    made.set_user_attr("uid", "a" * 32)
    made.tell(made.ask(), 0.5)
    folder = study_home / "studies" / "small" / "finalize"
    folder.mkdir()
    record = StudyFolder("small").read_record()
    command = "mmsr study finalize small --seeds 3"
    (folder / "study.json").write_text(
        record.model_copy(
            update={"name": name, "uid": "a" * 32, "command": command}
        ).model_dump_json()
    )
    return folder


@pytest.fixture
def neighbours(study, storage):
    """Names that begin like the study's, of studies that have nothing to do with it."""
    names = {"small2", "smal", "small-2", "Small/x", "x/small/y", "small_"}
    for name in names:
        optuna.create_study(study_name=name, storage=storage)
    return names


def names_in(storage):
    return set(optuna.get_all_study_names(storage))


def test_a_study_goes_with_its_trials_and_parts(part, study_home, storage, neighbours):
    change = removal("small")
    assert "study small: valid/mrr@20 on shop, trials in sqlite:////" in described(change)
    (note,) = carry_out(change)
    assert "its runs stay in MLflow" in note
    assert names_in(storage) == neighbours
    assert study_names() == []
    assert list((study_home / "studies").iterdir()) == []
    with sqlite3.connect(study_home / "optuna.db") as database:
        assert database.execute("SELECT count(*) FROM trials").fetchone() == (0,)


def test_a_study_keeps_everything_but_its_name(part, study_home, storage, neighbours, study):
    study.tell(study.ask(), 0.25)
    before = look_up("small")
    carry_out(renaming("small", "large"))
    after = look_up("large")
    assert after.definition == before.definition
    assert after.study.user_attrs == before.study.user_attrs
    assert [trial.value for trial in after.study.trials if trial.value] == [0.25]
    assert names_in(storage) == neighbours | {"large", "large/finalize-12345678"}
    assert study_names() == ["large"]
    record = after.folder.read_record()
    assert (record.name, record.command) == ("large", "python small.py --name large")
    record = json.loads((after.folder.path / "finalize" / "study.json").read_text())
    assert record["name"] == "large/finalize-12345678"
    assert record["command"] == "mmsr study finalize large --seeds 3"
    with pytest.raises(UserError, match="unknown study 'small'"):
        look_up("small")


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("place", range(4))
def test_a_renaming_that_was_killed_goes_on(
    place, done, part, study_home, storage, killed, killed_in
):
    with killed_in(RenameStudy, place, done=done), pytest.raises(killed):
        carry_out(renaming("small", "large"))
    notes = []
    finish_changes(notes.append)
    title = "renaming study 'small' to 'large' was interrupted"
    if place == 0 and not done:
        assert notes == [f"{title} before anything was done: give the command again"]
        assert names_in(storage) == {"small", "small/finalize-12345678"}
        carry_out(renaming("small", "large"))
    else:
        assert notes == [f"{title}, and is done now"]
    assert names_in(storage) == {"large", "large/finalize-12345678"}
    assert look_up("large").folder.read_record().command == "python small.py --name large"
    assert study_names() == ["large"]
    finish_changes(pytest.fail)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("place", range(3))
def test_a_removal_that_was_killed_goes_on(
    place, done, part, study_home, storage, killed, killed_in
):
    with killed_in(RemoveStudy, place, done=done), pytest.raises(killed):
        carry_out(removal("small"))
    notes = []
    finish_changes(notes.append)
    if place == 0 and not done:
        told = "removing study 'small' was interrupted before anything was done"
        assert notes == [f"{told}: give the command again"]
        assert study_names() == ["small"]
        carry_out(removal("small"))
    assert names_in(storage) == set()
    assert list((study_home / "studies").iterdir()) == []


def test_what_was_not_begun_is_dropped_while_the_study_runs(study, storage, killed, killed_in):
    for kind, change in ((RemoveStudy, removal("small")), (RenameStudy, renaming("small", "big"))):
        with killed_in(kind, 0, done=False), pytest.raises(killed):
            carry_out(change)
        notes = []
        with StudyFolder("small").locked():
            finish_changes(notes.append)
        assert notes[0].endswith("before anything was done: give the command again")
        finish_changes(pytest.fail)
    assert names_in(storage) == {"small"}


def test_nobody_runs_a_study_that_is_half_renamed(
    study, small_study, study_home, killed, killed_in
):
    from mmsr.study.planning.existing import check_existing
    from mmsr.study.storage.database import open_storage

    plan = make_plan(small_study, Options(name="small"))
    with killed_in(RenameStudy, 0, done=True), pytest.raises(killed):
        carry_out(renaming("small", "large"))
    with pytest.raises(UserError, match="has lost study 'small'"):
        check_existing(plan, open_storage(plan.storage))
    with pytest.raises(UserError):
        look_up("small")


def test_a_killed_rewriting_of_files_goes_on(
    part, study_home, tmp_path, monkeypatch, killed, killed_at, contents
):
    folder = StudyFolder("small")
    (folder.path / "small.json").write_text('{"study": "small", "x": 0.1}')
    (folder.path / "small.users.safetensors").write_bytes(b"means")
    copies = [tmp_path / f"copy-{n}" for n in range(7)]
    wanted = None
    for n, copy in enumerate(copies):
        shutil.copytree(study_home, copy)
        monkeypatch.setenv("MMSR_HOME", str(copy))
        if n == 0:
            carry_out(renaming("small", "large"))
            wanted = contents(copy)
            continue
        with killed_at(n), pytest.raises(killed):
            carry_out(renaming("small", "large"))
        finish_changes(lambda _: None)
        after = {name: data for name, data in contents(copy).items() if ".draft" not in name}
        # The first two are the names of the lock's holder and of the change's record.
        assert after == (contents(study_home) if n <= 2 else wanted), n
        assert list((copy / "changes").glob("*.json")) == []


def test_of_a_linked_study_the_link_goes(study, study_home, tmp_path):
    folder = StudyFolder("small").path
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    note = carry_out(removal("small"))[0]
    assert note == f"it was a link: its files stay in {tmp_path / 'elsewhere'}"
    assert list((study_home / "studies").iterdir()) == []
    assert (tmp_path / "elsewhere" / "study.json").exists()


def test_a_damaged_study_can_be_removed(part, study_home, storage):
    record = StudyFolder("small").path / "study.json"
    record.write_text("{")
    (part / "lock").touch()
    for holder in (StudyFolder("small").locked(), FileLock(part / "lock")):
        with holder, pytest.raises(UserError, match="is being run"):
            removal("small")
    change = removal("small")
    assert "its study.json is damaged, so its trials stay" in described(change)
    record.write_text("{{")
    with pytest.raises(UserError, match="changed meanwhile"):
        carry_out(change)
    assert carry_out(removal("small")) == ["its trials stay in the storage"]
    assert list((study_home / "studies").iterdir()) == []
    assert "small" in names_in(storage)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("place", range(2))
def test_a_removal_of_a_damaged_study_that_was_killed_goes_on(
    place, done, study, study_home, killed, killed_in
):
    (StudyFolder("small").path / "study.json").write_text("{")
    with killed_in(RemoveDamagedStudy, place, done=done), pytest.raises(killed):
        carry_out(removal("small"))
    finish_changes(lambda _: None)
    assert study_names() == (["small"] if place == 0 and not done else [])
    finish_changes(pytest.fail)


@pytest.mark.parametrize("done", [False, True])
def test_a_storage_that_is_lost_on_the_way_is_asked_again(done, study, monkeypatch):
    rename = storage_names.rename

    def lost(*names):
        if done:
            rename(*names)
        raise StorageLost("storage failed: gone")

    with monkeypatch.context() as patch:
        patch.setattr(storage_names, "rename", lost)
        with pytest.raises(UserError, match="storage failed: gone; the next mmsr command goes on"):
            carry_out(renaming("small", "large"))
    finish_changes(lambda _: None)
    assert study_names() == ["large" if done else "small"]
    finish_changes(pytest.fail)


def holders(home):
    folder = StudyFolder("small")
    yield folder.locked(), "'small' is being run by process .* wait for it or stop it$"
    yield claimed(f"sqlite:///{home / 'optuna.db'}", "small"), "is being run by another driver"
    yield (
        claimed(f"sqlite:///{home / 'optuna.db'}", "small/finalize-12345678"),
        "'small/finalize-12345678' in .* is being run by another driver",
    )
    yield FileLock(folder.path / "finalize" / "lock"), "its part 'finalize' is being run"


def test_what_is_being_run_is_refused(part, study_home):
    (part / "lock").touch()
    for holder, told in holders(study_home):
        with holder:
            with pytest.raises(UserError, match=told):
                removal("small")
            with pytest.raises(UserError, match=told):
                carry_out(renaming("small", "large"))
    assert study_names() == ["small"]


def test_a_name_that_is_in_use_is_refused(study, study_home, storage):
    optuna.create_study(study_name="large", storage=storage)
    with pytest.raises(UserError, match="has a study 'large' already"):
        carry_out(renaming("small", "large"))
    (study_home / "studies" / "other").mkdir()
    with pytest.raises(UserError, match="studies/other is in the way"):
        carry_out(renaming("small", "other"))
    with pytest.raises(UserError, match="bad study name 'a/b'"):
        renaming("small", "a/b")
    with pytest.raises(UserError, match="called 'small' already"):
        renaming("small", "small")
    with pytest.raises(UserError, match="unknown study 'smal': did you mean 'small'"):
        removal("smal")
    assert StudyFolder("small").read_record().name == "small"


@pytest.mark.parametrize(
    ("new", "there"),
    [(name, None) for name in ("study", "finalized", "driver", "tested", "knockouts")]
    + [("large", f"large{end}") for end in (".json", ".md", ".users.safetensors", ".png", ".html")],
)
def test_no_file_of_the_study_is_replaced(new, there, study, study_home, contents):
    folder = StudyFolder("small").path
    (folder / "small.json").write_text('{"study": "small"}')
    if there is not None:
        (folder / there).write_text("mine")
    before = contents(study_home)
    with pytest.raises(UserError, match="choose another name"):
        carry_out(renaming("small", new))
    assert contents(study_home) == before
    assert list((study_home / "changes").glob("*.json")) == []


def test_a_part_of_another_program_is_left_alone(study, storage):
    optuna.create_study(study_name="small/mine", storage=storage)
    for change in (removal, lambda name: carry_out(renaming(name, "large"))):
        with pytest.raises(UserError, match="'small/mine' that mmsr did not make"):
            change("small")


def test_a_database_without_locks_is_refused(study, monkeypatch):
    monkeypatch.setattr(storage_names, "can_be_claimed", lambda url: False)
    for change in (removal, lambda name: carry_out(renaming(name, "large"))):
        with pytest.raises(UserError, match="a database that has no lock against other drivers"):
            change("small")


def test_tables_of_another_version_are_not_written_to(study, study_home, monkeypatch):
    monkeypatch.setattr(storage_names, "has_known_tables", lambda connection: False)
    with pytest.raises(UserError, match="tables are of another version of Optuna"):
        carry_out(renaming("small", "large"))


def test_a_study_that_its_storage_has_lost_can_be_removed(study, study_home, storage):
    optuna.delete_study(study_name="small", storage=storage)
    with pytest.raises(UserError, match="has lost study 'small': restore it, or remove it"):
        carry_out(renaming("small", "large"))
    carry_out(removal("small"))
    assert study_names() == []


def test_another_study_of_the_name_stays_in_its_storage(study, study_home, storage):
    optuna.delete_study(study_name="small", storage=storage)
    optuna.create_study(study_name="small", storage=storage).set_user_attr("uid", "b" * 32)
    carry_out(removal("small"))
    assert (study_names(), names_in(storage)) == ([], {"small"})


def test_a_storage_that_cannot_be_reached_keeps_the_study(study, study_home):
    folder = StudyFolder("small")
    record = folder.read_record()
    gone = "postgresql+psycopg://nobody@127.0.0.1:9/none"
    folder.write_record(record.model_copy(update={"storage": gone}))
    with pytest.raises(UserError, match="cannot be used"):
        removal("small")
    assert study_names() == ["small"]

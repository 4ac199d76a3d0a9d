"""The list of studies stands whatever is wrong with one of them."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
import subprocess
import sys

import optuna
import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage import database
from mmsr.study.storage.folder import StudyFolder, study_names
from mmsr.study.views.studies import UNAVAILABLE, UNREADABLE, study_lines


@pytest.fixture
def studies(small_study, study_home, opened_study, tmp_path):
    """Makes a study in a storage of its own, beside a sound one; returns the storage's file."""

    def make(name="other"):
        opened_study(make_plan(small_study, Options(name="sound")), "python sound.py")
        file = tmp_path / f"{name}.db"
        options = Options(name=name, storage=f"sqlite:///{file}")
        opened_study(make_plan(small_study, options), f"python {name}.py")
        return file

    return make


def lines_and_notes():
    lines, notes = study_lines(study_names())
    return {line.name: line for line in lines}, notes


def damage(file):
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)


def overwrite_pages(file):
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(data)


def replace_by_folder(file):
    file.unlink()
    file.mkdir()


def forget(file):
    optuna.delete_study(study_name="other", storage=f"sqlite:///{file}")


def make_anew(file):
    forget(file)
    study = optuna.create_study(study_name="other", storage=f"sqlite:///{file}")
    study.set_user_attr("uid", "1" * 32)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (damage, "cannot be used"),
        (overwrite_pages, "cannot be used"),
        (replace_by_folder, "cannot be used"),
        (lambda file: file.write_bytes(b""), "there is no study 'other'"),
        (lambda file: file.unlink(), "there is no study 'other'"),
        (forget, "there is no study 'other'"),
        (make_anew, "there is no study 'other'"),
    ],
)
def test_a_storage_that_cannot_be_read_is_one_line(studies, harm, told):
    harm(studies())
    lines, notes = lines_and_notes()
    assert (lines["sound"].state, lines["sound"].trials) == ("stopped", "0 of 4")
    assert (lines["other"].state, lines["other"].dataset) == (UNAVAILABLE, "shop")
    (note,) = notes
    assert told in note
    assert "\n" not in note


def test_a_locked_storage_is_not_waited_for(studies, monkeypatch):
    monkeypatch.setattr(database, "TIMEOUT_SECONDS", 0.1)
    with sqlite3.connect(studies(), isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        lines, notes = lines_and_notes()
    assert lines["sound"].state == "stopped"
    assert lines["other"].state == UNAVAILABLE
    assert "database is locked" in notes[0]


@pytest.mark.parametrize(
    "url",
    ["postgresql+psycopg://u@127.0.0.1:1/d", "nonsense", "oracle://u@h/d"],
)
def test_a_storage_that_cannot_be_reached_is_one_line(studies, url):
    studies()
    folder = StudyFolder("other")
    folder.write_record(folder.read_record().model_copy(update={"storage": url}))
    lines, notes = lines_and_notes()
    assert (lines["sound"].state, lines["other"].state) == ("stopped", UNAVAILABLE)
    assert len(notes) == 1


@pytest.mark.parametrize("contents", [b"", b"{", b"null", b"\xff\xfe", b'{"name": 3}'])
def test_a_damaged_record_is_one_line_and_the_exit_code_is_0(studies, contents):
    studies()
    (StudyFolder("other").path / "study.json").write_bytes(contents)
    done = CliRunner().invoke(app, ["study", "list"], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"other{'':<24}".rstrip() in done.stdout
    assert UNREADABLE in done.stdout
    assert "sound" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "restore it" in done.stderr


def test_a_folder_that_is_no_name_is_one_line(studies):
    studies()
    shutil.copytree(StudyFolder("other").path, StudyFolder("other").path.parent / "a [red] copy")
    done = CliRunner().invoke(app, ["study", "list"], catch_exceptions=False)
    assert "a [red] copy" in done.stdout
    assert "bad study name" in done.stderr


def test_each_storage_is_opened_once(studies, small_study, opened_study, monkeypatch):
    studies()
    for name in ("second", "third"):
        opened_study(make_plan(small_study, Options(name=name)), f"python {name}.py")
    opened = []
    reading = database.reading
    monkeypatch.setattr(database, "reading", lambda url: opened.append(url) or reading(url))
    lines, notes = lines_and_notes()
    assert len(lines) == 4
    assert notes == []
    assert len(opened) == 2


def test_a_running_study_is_shown_as_such(studies):
    studies()
    with StudyFolder("sound").locked():
        lines, _ = lines_and_notes()
    assert lines["sound"].state == "running"
    assert dataclasses.astuple(lines["other"])[3] == "stopped"


def test_nothing_heavy_is_imported():
    heavy = "{'torch', 'ray', 'mlflow', 'pyarrow', 'pandas', 'scipy'}"
    code = f"import sys, mmsr.study.views.studies; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

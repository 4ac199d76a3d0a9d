"""`mmsr data|study remove|rename`, `mmsr disk` and `mmsr doctor`: what they ask and say."""

from __future__ import annotations

import io
import os
import pty

import pytest
from typer.testing import CliRunner

from mmsr.care import checks
from mmsr.care.changes import carry_out
from mmsr.care.datasets import RenameDataset, renaming
from mmsr.care.doctor import fail, ok, warn
from mmsr.cli import app as cli
from mmsr.data import catalog
from mmsr.errors import UserError
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage.folder import study_names


def mmsr(*words, code=0):
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == code, done.output
    return done.stdout


def on_a_terminal(monkeypatch, answer):
    """Let stdin be a terminal on which somebody has typed an answer."""
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    monkeypatch.setattr("sys.stdin", os.fdopen(theirs))


@pytest.fixture
def small(small_study, study_home, opened_study):
    return opened_study(make_plan(small_study, Options(name="small")), "python small.py")


@pytest.mark.parametrize(
    "words", [("data", "remove", "shop"), ("study", "remove", "small"), ("disk", "--free")]
)
def test_without_a_terminal_nothing_goes_unasked(words, small, study_home, monkeypatch, capsys):
    (study_home / "datasets" / ".shop.draft-abc").mkdir()
    (study_home / "datasets" / ".shop.draft-abc" / "items.arrow").write_text("left")
    words = [*words, "--force"] if words[0] == "data" else words
    monkeypatch.setattr("sys.argv", ["mmsr", *words])
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert (
        "there is no terminal to ask on, so nothing was removed: give --yes"
        in capsys.readouterr().err
    )
    assert (catalog.names(), study_names()) == (["shop"], ["small"])


def test_what_is_removed_is_said_first(small, study_home):
    out = mmsr("study", "remove", "small", "--yes")
    assert "study small: valid/mrr@20 on shop" in out
    assert "removed study small" in out
    out = mmsr("data", "remove", "shop", "shop", "--yes")
    assert "data set shop: 60 users" in out
    assert out.count("removed data set shop") == 1
    assert (catalog.names(), study_names()) == ([], [])


def test_all_names_are_checked_before_anything_goes(study_home):
    done = CliRunner().invoke(cli.app, ["data", "remove", "shop", "shoes", "--yes"])
    assert isinstance(done.exception, UserError)
    assert catalog.names() == ["shop"]


@pytest.mark.parametrize(("answer", "left", "code"), [("n\n", ["shop"], 1), ("y\n", [], 0)])
def test_the_user_is_asked(answer, left, code, study_home, monkeypatch, capfd):
    on_a_terminal(monkeypatch, answer)
    monkeypatch.setattr("sys.argv", ["mmsr", "data", "remove", "shop"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == code
    assert catalog.names() == left
    assert ("nothing was removed" in capfd.readouterr().out) == bool(left)


def test_renames_say_what_follows(small, study_home):
    out = mmsr("study", "rename", "small", "large")
    assert "renamed study small to large" in out
    assert "resume with: python small.py --name large" in out
    mmsr("study", "remove", "large", "--yes")
    assert mmsr("data", "rename", "shop", "toys") == "renamed data set shop to toys\n"


def test_the_next_command_finishes_what_was_interrupted(study_home, monkeypatch):
    def dying(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RenameDataset, "_move_folder", dying)
        with pytest.raises(KeyboardInterrupt):
            carry_out(renaming("shop", "toys"))
    with monkeypatch.context() as patch:
        patch.setattr("sys.argv", ["mmsr", "data", "list", "--help"])
        assert CliRunner().invoke(cli.app, ["data", "list", "--help"]).stderr == ""
    assert catalog.names() == ["shop"]
    done = CliRunner().invoke(cli.app, ["data", "list"])
    assert "note: renaming data set 'shop' to 'toys' was interrupted" in done.stderr
    assert "toys" in done.stdout
    assert CliRunner().invoke(cli.app, ["data", "list"]).stderr == ""


def test_disk_shows_and_frees(study_home):
    assert "nothing of it can go" in mmsr("disk")
    draft = study_home / "datasets" / ".shop.draft-abc"
    draft.mkdir()
    (draft / "items.arrow").write_bytes(b"x" * 2000)
    out = mmsr("disk")
    assert "can go: left by an interrupted import of shop, 2.0 kB" in out
    assert "data set   shop" in out
    assert "removed 2.0 kB" in mmsr("disk", "--free", "--yes")
    assert not draft.exists()


def test_disk_of_an_object_store_frees_nothing(study_home, tmp_path, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", f"file://{study_home}")
    monkeypatch.setenv("MMSR_COPIES", str(tmp_path / "copies"))
    out = mmsr("disk")
    assert "in the store" in out
    assert "this machine's copies are in" in out
    done = CliRunner().invoke(cli.app, ["disk", "--free", "--yes"])
    assert "mmsr disk --free: the home is in an object store" in str(done.exception)


@pytest.mark.parametrize(("worst", "code"), [(warn("meh", "mend it"), 0), (fail("bad"), 1)])
def test_the_doctor_has_a_line_for_each_check(worst, code, home, monkeypatch):
    found = {"home": lambda: ok("fine"), "ray": lambda: worst}
    monkeypatch.setattr(checks, "CHECKS", found)
    lines = mmsr("doctor", code=code).splitlines()
    assert lines[0] == "ok   home      fine"
    assert lines[1].split() == [
        *worst.verdict.split(),
        "ray",
        *(f"{worst.text}: {worst.remedy}" if worst.remedy else worst.text).split(),
    ]
    assert len(lines) == 2

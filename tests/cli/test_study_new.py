"""`mmsr study new`: what it writes and says, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmsr.cli import app
from mmsr.study.storage.folder import StudyFolder, StudyRecord


@pytest.fixture
def work(study_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty; the data set `shop` is there."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def new(work, monkeypatch, capsys):
    """Runs `mmsr study new`: exit code, stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["mmsr", "study", "new", *words])
        with pytest.raises(SystemExit) as stop:
            app.main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return run


def test_it_says_what_to_do_next(new, work):
    code, out, err = new("first", "--dataset", "shop")
    assert (code, err) == (0, "")
    assert out == (
        "wrote first.py; check it with: python first.py --dry-run\n"
        "then run it with: python first.py\n"
    )
    assert [path.name for path in work.iterdir()] == ["first.py"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["first"], "missing option '--dataset'"),
        (["--dataset", "shop"], "missing argument 'NAME'"),
        (["a/b", "--dataset", "shop"], "bad study name 'a/b': use up to 100 letters"),
        (["", "--dataset", "shop"], "bad study name ''"),
        (["..", "--dataset", "shop"], "bad study name '..'"),
        (["x" * 101, "--dataset", "shop"], "bad study name"),
        (["first.py", "--dataset", "shop"], "bad study name 'first.py': leave out .py"),
        (["random", "--dataset", "shop"], "would hide the Python module 'random'"),
        (["optuna", "--dataset", "shop"], "would hide the Python module 'optuna'"),
        (["sys", "--dataset", "shop"], "would hide the Python module 'sys'"),
        (["first", "--dataset", "shpo"], "unknown data set 'shpo': did you mean 'shop'?"),
        (["first", "--dataset", "demo"], "run `mmsr data demo`"),
        (["first", "--dataset", "toys"], "run `mmsr data import toys --interactions FILE"),
        (["first", "--dataset", "../shop"], "unknown data set '../shop'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_writes_nothing(words, told, new, work):
    code, out, err = new(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert told in err
    assert list(work.iterdir()) == []


def test_a_file_that_exists_stays(new, work):
    (work / "first.py").write_text("mine")
    code, _, err = new("first", "--dataset", "shop")
    assert (code, err) == (2, "error: first.py exists: remove it, or give another name\n")
    assert (work / "first.py").read_text() == "mine"


def test_a_link_to_nowhere_stays(new, work):
    (work / "first.py").symlink_to(work / "elsewhere.py")
    code, _, err = new("first", "--dataset", "shop")
    assert (code, err) == (2, "error: first.py exists: remove it, or give another name\n")
    assert not (work / "elsewhere.py").exists()


def test_a_study_that_has_been_run_needs_another_name(new, work):
    folder = StudyFolder("first")
    folder.path.mkdir(parents=True)
    texts = dict.fromkeys(("uid", "objective", "storage", "tracking", "command"), "")
    folder.write_record(StudyRecord(name="first", dataset="shop", **texts))
    code, _, err = new("first", "--dataset", "shop")
    assert code == 2
    assert "study 'first' exists, see `mmsr study status first`" in err
    assert list(work.iterdir()) == []


def test_a_folder_that_is_gone_is_bad_input(new, work):
    work.rmdir()
    code, _, err = new("first", "--dataset", "shop")
    assert code == 2
    assert err.startswith("error: cannot write first.py into the current folder: ")
    assert err.endswith("change to a folder that you can write to\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes everywhere")
def test_a_folder_that_cannot_be_written_is_bad_input(new, work):
    work.chmod(0o555)
    code, _, err = new("first", "--dataset", "shop")
    assert code == 2
    assert "Permission denied; change to a folder that you can write to" in err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_a_full_disk_leaves_no_half_file(new, work, monkeypatch):
    opened = Path.open

    def full(path: Path, mode: str = "r", **options: str):
        if mode != "x":
            return opened(path, mode, **options)
        path.touch()
        return open("/dev/full", "w")

    monkeypatch.setattr(Path, "open", full)
    code, _, err = new("first", "--dataset", "shop")
    assert code == 1
    assert "No space left on device" in err
    assert list(work.iterdir()) == []


def test_a_dry_run_of_the_file_plans(new, work):
    new("first", "--dataset", "shop")
    done = subprocess.run(
        [sys.executable, "first.py", "--dry-run"], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "study       first: 20 trials of at most 30 epochs" in done.stdout
    assert "dry run: nothing was scheduled" in done.stdout

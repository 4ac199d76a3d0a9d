"""How the command line ends when something outside of it goes wrong."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mmsr import paths
from mmsr.cli import app


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, "No space left on device; run the"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    message: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("mmsr.data.catalog.names", fail)
    monkeypatch.setattr("sys.argv", ["mmsr", "data", "list"])
    with pytest.raises(SystemExit) as stop:
        app.main()
    assert stop.value.code == code
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["study", "finalize", "x", "--sed", "3"], "--seeds"),
        (["study", "finalize"], "missing argument"),
        (["study", "fnalize"], "study --help"),
        (["study", "run", "first"], "studies are run with `python first.py`"),
        (["study", "start", "studies/first.py"], "studies are run with `python studies/first.py`"),
        (["study", "resume", "--epochs", "3"], "studies are run with `python NAME.py`, and the"),
        (["study", "run"], "no such command 'run': studies are run with `python NAME.py`"),
        (["run", "first"], "studies are run with `python first.py`"),
        (["--colour"], "no such option: --colour"),
        (["study", "leaderboard", "x", "--top", "0"], "--top"),
        (["study", "leaderboard", "x", "--top", "ten"], "--top"),
    ],
)
def test_wrong_options_are_bad_input(arguments, told, home, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mmsr", *arguments])
    with pytest.raises(SystemExit) as stop:
        app.main()
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("error: ")
    assert told in said.err


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (None, "~/.mmsr (MMSR_HOME is not set)"),
        ("", "~/.mmsr (MMSR_HOME is not set)"),
        ("shops", "{here}/shops"),
    ],
)
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["data", "list"], 0, "no data sets yet in {where}: run `mmsr data demo`"),
        (["study", "list"], 0, "no studies yet in {where}: write one with `mmsr study new"),
        (["data", "describe", "x"], 2, "unknown data set 'x'; known: none in {where}; run"),
        (["train", "x"], 2, "unknown data set 'x'; known: none in {where}; run"),
        (["study", "new", "a", "--dataset", "x"], 2, "'x'; known: none in {where}; run"),
        (["study", "status", "x"], 2, "unknown study 'x'; known: none in {where}; write one"),
        (["robustness", "x"], 2, "unknown study 'x'; known: none in {where}; write one"),
    ],
)
def test_the_folder_that_was_searched_is_named(
    given, where, arguments, code, told, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MMSR_STORAGE", raising=False)
    monkeypatch.chdir(tmp_path)
    if given is None:
        monkeypatch.delenv("MMSR_HOME", raising=False)
    else:
        monkeypatch.setenv("MMSR_HOME", given)
    monkeypatch.setattr("sys.argv", ["mmsr", *arguments])
    with pytest.raises(SystemExit) as stop:
        app.main()
    assert (stop.value.code or 0) == code
    said = capsys.readouterr()
    assert told.format(where=where.format(here=tmp_path)) in (said.err if code else said.out)


def test_a_home_in_an_object_store_is_named_without_its_options(monkeypatch):
    monkeypatch.setenv("MMSR_HOME", "s3://shops/mmsr?region=eu-west-1")
    assert paths.searched() == "s3://shops/mmsr"


def test_a_group_without_a_command_shows_its_help(home, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mmsr", "study"])
    with pytest.raises(SystemExit) as stop:
        app.main()
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert "finalize" in said.out
    assert said.err == ""

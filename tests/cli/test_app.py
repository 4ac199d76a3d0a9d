"""How the command line ends when something outside of it goes wrong."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

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


def test_a_group_without_a_command_shows_its_help(home, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mmsr", "study"])
    with pytest.raises(SystemExit) as stop:
        app.main()
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert "finalize" in said.out
    assert said.err == ""

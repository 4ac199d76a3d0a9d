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

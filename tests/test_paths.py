"""A file is written whole, or nothing of it is left."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mmsr.paths import write_whole


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()]
)
def test_a_write_that_fails_leaves_the_old_file_alone(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(opened: int) -> None:
        raise error

    path = tmp_path / "a.json"
    write_whole(path, b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(type(error)):
        write_whole(path, b"new", durably=True)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a.json", b"old")]


def test_a_file_that_cannot_take_its_place_is_not_left(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "a", b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["a"]

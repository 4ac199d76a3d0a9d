"""Folders for the time of an import: gone afterwards, also those of killed processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock

from mmsr.data import Sources, prepare
from mmsr.data.importers.scratch import abandoned, scratch
from mmsr.data.progress import Advance, Silent
from mmsr.errors import UserError


def test_nothing_is_left(home: Path) -> None:
    with scratch() as one, scratch() as other:
        assert one != other
        (one / "file").write_text("x")
    assert not (home / "imports").exists()
    with pytest.raises(RuntimeError), scratch() as one:
        raise RuntimeError
    assert not (home / "imports").exists()


def test_what_a_killed_process_left_is_removed_and_what_is_used_stays(home: Path) -> None:
    code = (
        "from mmsr.data.importers.scratch import scratch\n"
        "with scratch() as folder:\n"
        "    (folder / 'file').write_text('x')\n"
        "    print(folder, flush=True)\n"
        "    input()\n"
    )
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        folder = Path(process.stdout.readline().strip())
        try:
            with scratch():
                assert (folder / "file").exists(), "its process is alive"
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    assert (folder / "file").exists()
    with scratch():
        assert not folder.exists()
    assert not (home / "imports").exists()


def test_a_home_that_cannot_be_written_is_an_error(home: Path) -> None:
    home.write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write to .*imports"), scratch():
        pass


def test_what_cannot_be_removed_yet_goes_with_the_next_import(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, scratch() as folder:
        patch.setattr("shutil.rmtree", lambda *_, **__: None)  # as on NFS, while files are mapped
    assert folder.exists()
    assert abandoned() == [folder]
    with scratch():
        assert not folder.exists()
    assert not (home / "imports").exists()


def test_another_import_may_remove_the_parent_at_the_same_time(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, failed = FileLock.acquire, []

    def acquire_late(lock: FileLock, **options: Any) -> Any:
        if not failed:
            failed.append(FileNotFoundError(2, "No such file or directory"))
            raise failed[0]
        return acquire(lock, **options)

    monkeypatch.setattr(FileLock, "acquire", acquire_late)
    with scratch() as folder:
        assert folder.is_dir()
    assert failed


def test_a_lock_goes_while_it_is_held(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release, there = FileLock.release, []

    def noted(lock: FileLock, **options: Any) -> None:
        there.append(Path(lock.lock_file).exists())
        release(lock, **options)

    with scratch():
        monkeypatch.setattr(FileLock, "release", noted)
    assert there[:1] == [False]


def test_a_folder_without_a_lock_is_abandoned_after_a_day(home: Path) -> None:
    folder = home / "imports" / "0123abcd"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    with scratch():
        assert folder.exists()
    before = time.time() - 25 * 3600
    os.utime(folder, (before, before))
    assert abandoned() == [folder]
    with scratch():
        assert not folder.exists()
    assert not (home / "imports").exists()


def test_an_import_holds_its_folder_until_the_data_set_is_written(
    home: Path, purchases: pd.DataFrame, write_table: Callable[..., Path]
) -> None:
    held = {}

    class Noting(Silent):
        def stage(self, title: str, total: int | None = None) -> AbstractContextManager[Advance]:
            held[title] = len(list((home / "imports").glob("*.lock")))
            return super().stage(title, total)

    prepare("d", Sources(write_table("rows.csv", purchases)), reporter=Noting())
    assert held == {"hashing inputs": 0, "reading interactions": 1, "writing": 1}
    assert not (home / "imports").exists()

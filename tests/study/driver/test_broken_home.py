"""A home that takes no files is told before Ray is started."""

from __future__ import annotations

import errno
import os
import shutil

import pytest


@pytest.fixture
def told(small_study, monkeypatch, capsys):
    """Runs a study in this home; returns its exit code and the line that it wrote."""

    def run(home):
        monkeypatch.setenv("MMSR_HOME", str(home))
        monkeypatch.setattr("mmsr.study.driver.run.ray_cluster", lambda _: pytest.fail("started"))
        with pytest.raises(SystemExit) as stop:
            small_study.main([])
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        return stop.value.code, said

    return run


def test_a_full_home(told, study_home, small_disk, full, tmp_path):
    home, mounted = small_disk(tmp_path / "small", 16)
    if not mounted:
        pytest.skip("needs root, to mount a file system that is small enough to fill")
    shutil.copytree(study_home, home, dirs_exist_ok=True)
    with full(home):
        code, said = told(home)
    assert code in (1, 2)
    assert os.strerror(errno.ENOSPC) in said or "database or disk is full" in said
    assert str(home) in said


def test_a_home_that_nobody_can_write(told, study_home, immutable):
    with immutable(study_home):
        code, said = told(study_home)
    assert code in (1, 2)
    assert str(study_home) in said
    assert any(reason in said for reason in ("ermission denied", "not permitted", "not writable"))

"""One driver a study, also where two homes share a storage."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mmsr.errors import UserError
from mmsr.study import Study
from mmsr.study.planning.declaration import Options
from mmsr.study.storage.driver_lock import claimed

HOLD = """
import signal, sys
from mmsr.study import Study
from mmsr.study.storage.driver_lock import claimed
from mmsr.study.planning.declaration import Options

with claimed(*sys.argv[1:]):
    print("held", flush=True)
    signal.pause()
"""


def check_one_at_a_time(url: str) -> None:
    command = [sys.executable, "-c", HOLD, url, "toys"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "held\n"
            with (
                pytest.raises(UserError, match=r"'toys' in .* is being run by another driver"),
                claimed(url, "toys"),
            ):
                pytest.fail("two drivers hold one study")
            with claimed(url, "beauty"):
                pass
        finally:
            driver.kill()
    take_soon(url, "toys")


def take_soon(url: str, name: str) -> None:
    """A server needs a moment to see that a killed driver's connection is gone."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with claimed(url, name):
                return
        except UserError:
            if time.monotonic() > deadline:
                raise


def test_a_killed_driver_leaves_no_claim_on_a_file(tmp_path: Path) -> None:
    check_one_at_a_time(f"sqlite:///{tmp_path / 'optuna.db'}")


def test_a_claim_ends_with_its_block(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'optuna.db'}"
    for _ in range(2):
        with claimed(url, "toys"):
            pass


@pytest.mark.slow
def test_a_killed_driver_leaves_no_claim_on_a_server(postgres: Any) -> None:
    check_one_at_a_time(postgres.url)


def test_a_second_home_does_not_start_a_study_that_is_being_run(
    study_home: Path, small_study: Study, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'common.db'}"
    with claimed(url, "shop"), pytest.raises(UserError, match="being run by another driver"):
        small_study.run(Options(storage=url))
    assert not (tmp_path / "common.db").exists()

"""The places that a study writes to fail under it, one after another; no trial is lost or doubled.

    pytest -m slow tests/study/driver/test_chaos_places.py --chaos-all

adds the faults that take minutes: a lock of a minute, the death of Ray's head, a tracking server
that never comes back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import psutil
import pytest

from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

EPOCHS = 3
WIDTHS = list(range(20, 36))
CORES, AT_ONCE = len(os.sched_getaffinity(0)), 2
"""However many cores there are, the study lasts long enough to be hit again and again."""
STUDY = f"""
from mmsr.study import Int, Study

study = Study(
    dataset="shop",
    name="places",
    trials={len(WIDTHS)},
    epochs={EPOCHS},
    space={{"model.width": Int(10, 60)}},
    enqueue=[{{"model.width": width}} for width in {WIDTHS}],
    pruner=None,
    resources={{"cpu": {CORES / min(CORES, AT_ONCE)}}},
    trainer="fake_training:train",
)

if __name__ == "__main__":
    study.main()
"""
RESUMES = "the same command resumes the study"
HOME_MEGABYTES = 64


@pytest.fixture(scope="module")
def chaos_all(request):
    """Whether all faults are wanted, at full length."""
    return request.config.getoption("--chaos-all")


@pytest.fixture(scope="module")
def run(faked_place, small_disk):
    """Starts the study again and again; waits for epochs, and for the end."""
    place = faked_place("places", STUDY, FAKE_EPOCH_SECONDS="0.3")
    home, mounted = small_disk(place.folder / "small", HOME_MEGABYTES)
    shutil.copytree(place.home, home, dirs_exist_ok=True)
    place.driver.environment["MMSR_HOME"] = str(home)
    return SimpleNamespace(place=place, home=home, mounted=mounted)


@pytest.fixture(scope="module")
def start():
    """Starts the driver of a place; none outlives the tests."""
    started = []

    def begin(place, *arguments):
        started.append(place.driver.start(*arguments))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


def epochs(place):
    """Width and epoch of every epoch trained, in order."""
    lines = place.log.read_text().splitlines() if place.log.exists() else []
    return [tuple(map(int, line.split())) for line in lines]


def wait_for_epochs(place, more, process):
    """Wait until so many more epochs were trained."""
    wanted, deadline = len(epochs(place)) + more, time.monotonic() + 600
    while len(epochs(place)) < wanted:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def end_of(process):
    """Wait until the driver and all that it started have ended."""
    children = psutil.Process(process.pid).children(recursive=True)
    out, err = process.communicate(timeout=600)
    _, left = psutil.wait_procs(children, timeout=30)
    for child in left:
        child.kill()
    return SimpleNamespace(code=process.returncode, out=out, err=err, told=out + err, left=left)


@contextlib.contextmanager
def locked(database):
    """Nobody else can read or write this SQLite file."""
    connection = sqlite3.connect(database, timeout=60, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


@pytest.fixture(scope="module")
def survived(run, start, chaos_all, full, immutable):
    """The study after a locked database, an immutable home, a full one, and a run to the end."""
    place, seen = run.place, {}
    process = start(place)
    wait_for_epochs(place, 3, process)
    with locked(run.home / "optuna.db"):
        time.sleep(60 if chaos_all else 5)
        seen["locked"] = process.poll()
    wait_for_epochs(place, 3, process)
    with immutable(run.home):
        seen["immutable"] = end_of(process)
    if run.mounted:
        process = start(place)
        wait_for_epochs(place, 3, process)
        with full(run.home):
            seen["full"] = end_of(process)
    if chaos_all:
        process = start(place)
        wait_for_epochs(place, 3, process)
        kill_the_head(process)
        seen["head"] = end_of(process)
    seen["end"] = end_of(start(place))
    return seen


def kill_the_head(process):
    """SIGKILL the server of the driver's own Ray."""
    (server,) = (
        child for child in psutil.Process(process.pid).children() if child.name() == "gcs_server"
    )
    server.kill()


@pytest.fixture
def known(run, survived, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(run.home))
    return look_up("places")


def test_a_locked_database_is_waited_for(survived):
    assert survived["locked"] is None


@pytest.mark.parametrize("fault", ["immutable", "full", "head"])
def test_the_study_stops_and_says_what_to_do(survived, run, chaos_all, fault):
    if fault == "full" and not run.mounted:
        pytest.skip("needs root, to mount a file system that is small enough to fill")
    if fault == "head" and not chaos_all:
        pytest.skip("takes a minute: --chaos-all runs it")
    ended = survived[fault]
    assert ended.code == 1, ended.told
    assert RESUMES in ended.told
    assert "Traceback" not in ended.told
    reasons = {
        "immutable": (
            os.strerror(errno.EPERM),
            os.strerror(errno.EACCES),
            "readonly database",
            "unable to open database file",
        ),
        "full": (os.strerror(errno.ENOSPC), "database or disk is full"),
        "head": ("Ray's head", "has died"),
    }
    assert any(reason in ended.told for reason in reasons[fault]), ended.told
    assert ended.left == []


def test_the_study_comes_to_its_end(survived):
    assert survived["end"].code == 0, survived["end"].told
    assert f"study places: {len(WIDTHS)} finished\n" in survived["end"].out


def test_every_trial_is_accounted_for_once(known, run, tracked_runs):
    found = rows(known.study)
    assert [row.state for row in found] == ["finished"] * len(WIDTHS)
    assert sorted(row.config.model.width for row in found) == WIDTHS
    for row in found:
        curve = known.study.trials[row.number].intermediate_values
        assert sorted(curve) == list(range(1, EPOCHS + 1))
    runs = tracked_runs(run.home, "places")
    assert Counter(int(tracked.data.params["model.width"]) for tracked in runs) == Counter(WIDTHS)
    assert {tracked.info.status for tracked in runs} == {"FINISHED"}


def test_little_is_trained_again(run, survived):
    faults = sum(stage in survived for stage in ("immutable", "full", "head"))
    again = len(epochs(run.place)) - len(WIDTHS) * EPOCHS
    # A fault costs each running trial the epochs since its newest checkpoint that was recorded.
    assert again <= 2 * faults * AT_ONCE


def test_a_killed_database_server_loses_nothing(faked_place, start, postgres, monkeypatch):
    place = faked_place("places", STUDY, FAKE_EPOCH_SECONDS="0.3")
    process = start(place, "--storage", postgres.url)
    wait_for_epochs(place, 4, process)
    postgres.kill()
    postgres.start()
    first = end_of(process)
    assert "Traceback" not in first.told
    if first.code != 0:  # it may have needed the server at that moment
        assert first.code == 1, first.told
        assert RESUMES in first.told
        place.driver.run("--storage", postgres.url)
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    found = rows(look_up("places").study)
    assert [row.state for row in found] == ["finished"] * len(WIDTHS)
    assert sorted(row.config.model.width for row in found) == WIDTHS


def wait_for_server(port):
    """Wait until something listens there."""
    deadline = time.monotonic() + 240
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_tracking_server_that_never_comes_back(
    faked_place, start, tracked_runs, chaos_all, tmp_path
):
    if not chaos_all:
        pytest.skip("takes a minute: --chaos-all runs it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_server(port)
        place = faked_place("places", STUDY, FAKE_EPOCH_SECONDS="0.3")
        process = start(place, "--tracking-uri", uri)
        wait_for_epochs(place, 4, process)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    ended = end_of(process)
    assert ended.code == 0, ended.told
    assert re.search(r"tracking: \d+ events wait to be sent \(the server is away: ", ended.out), (
        ended.told
    )
    assert "Traceback" not in ended.told
    place.driver.run()  # tracked in the home from now on, where no server is needed
    runs = tracked_runs(place.home, "places")
    assert Counter(int(tracked.data.params["model.width"]) for tracked in runs) == Counter(WIDTHS)
    assert {tracked.info.status for tracked in runs} == {"FINISHED"}

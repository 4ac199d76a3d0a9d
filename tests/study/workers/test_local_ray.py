"""Ray on this machine: where its session is, its token, and what is left of a start that fails."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mmsr.errors import UserError
from mmsr.study.workers import local_ray
from mmsr.study.workers.cluster import ray_cluster

TOKENS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@pytest.fixture
def short(monkeypatch):
    """A folder with a short path, which `$RAY_TMPDIR` names; pytest's own are too long for Ray."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    yield Path(folder)
    shutil.rmtree(folder)


def mode(path):
    return path.stat().st_mode & 0o777


def test_nobody_else_can_enter_the_session_folder(short):
    old = os.umask(0)
    try:
        folder = local_ray.session_folder()
    finally:
        os.umask(old)
    assert folder == short / f"mmsr-{os.getuid()}" / "ray"
    assert mode(folder.parent) == 0o700
    folder.parent.chmod(0o777)
    assert local_ray.session_folder() == folder
    assert mode(folder.parent) == 0o700


def test_its_sockets_have_paths_that_a_socket_can_have(short):
    from ray._private.utils import validate_socket_filepath

    session = "session_2026-11-28_23-19-37_644296_4194303"
    longest = Path("/tmp") / ("x" * (local_ray._LONGEST_FOLDER - len("/tmp/")))
    validate_socket_filepath(str(longest / session / "sockets" / "plasma_store"))
    with pytest.raises(OSError, match="AF_UNIX path length"):
        validate_socket_filepath(f"{longest}x/{session}/sockets/plasma_store")


def test_a_long_tmpdir_is_left_for_a_short_one(short, monkeypatch):
    long = short / ("x" * 80)
    long.mkdir()
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv("TMPDIR", str(long))
    assert local_ray.session_folder() == Path("/tmp") / f"mmsr-{os.getuid()}" / "ray"


def long_path(short):
    (short / ("x" * 80)).mkdir()
    return short / ("x" * 80), "bytes too long for Ray's sockets"


def missing(short):
    return short / "none", os.strerror(errno.ENOENT)


def file(short):
    (short / "file").touch()
    return short / "file", os.strerror(errno.ENOTDIR)


def of_somebody_else(short):
    (short / f"mmsr-{os.getuid()}").symlink_to("/tmp")
    return short, f"mmsr-{os.getuid()} in it belongs to somebody else"


@pytest.mark.parametrize("place", [long_path, missing, file, of_somebody_else])
def test_a_folder_that_will_not_do_is_refused_with_advice(short, monkeypatch, place):
    folder, problem = place(short)
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    with pytest.raises(UserError) as refused:
        local_ray.session_folder()
    assert str(folder) in str(refused.value)
    assert problem in str(refused.value)
    assert "set RAY_TMPDIR to a folder of yours" in str(refused.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_folder_that_takes_no_file_is_refused(short, monkeypatch, number):
    def full(**_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(local_ray.tempfile, "TemporaryFile", full)
    with pytest.raises(UserError, match=f"{short}: {os.strerror(number)}"):
        local_ray.session_folder()


@pytest.fixture
def unset(monkeypatch):
    """No token in the environment; returns how often Ray has read it again."""
    for name in TOKENS:
        monkeypatch.setenv(name, "")  # so that it is restored afterwards
        monkeypatch.delenv(name)
    monkeypatch.setattr(local_ray, "_made", {})
    read = []
    monkeypatch.setattr(local_ray, "read_token_again", lambda: read.append(dict(os.environ)))
    return read


def test_a_token_is_made_once_and_taken_back(unset):
    local_ray._make_token()
    local_ray._make_token()
    assert len(unset) == 1
    assert unset[0]["RAY_AUTH_MODE"] == "token"
    assert len(unset[0]["RAY_AUTH_TOKEN"]) == 64
    local_ray.forget()
    local_ray.forget()
    assert len(unset) == 2
    assert not set(TOKENS) & unset[1].keys()


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_the_users_own_token_is_kept(unset, monkeypatch, name):
    monkeypatch.setenv(name, "mine")
    local_ray._make_token()
    assert {key: os.environ.get(key) for key in TOKENS} == {
        **dict.fromkeys(TOKENS),
        "RAY_AUTH_MODE": "token",
        name: "mine",
    }
    local_ray.forget()
    assert os.environ[name] == "mine"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, os.strerror(errno.ENOENT)), ("", "it is empty"), (" \n", "it is empty")],
)
def test_a_token_file_without_a_token_is_refused(unset, monkeypatch, tmp_path, content, problem):
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    with pytest.raises(UserError, match=f"{file}.* holds no token .{problem}.*or unset it"):
        local_ray.check_token_file()
    file.write_text("secret\n")
    local_ray.check_token_file()


@pytest.fixture
def failing(short, unset, monkeypatch):
    """Starts Ray with servers that are these shell scripts; returns the error and all processes."""
    from ray._private import services

    def not_yet(*_):
        raise RuntimeError("not registered")

    monkeypatch.setattr(services, "get_node", not_yet)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr(local_ray, "_START_SECONDS", 1.5)
    attempts = []

    def run(**servers):
        for name, script in servers.items():
            (short / name).write_text(f"#!/bin/sh\n{script}\n")
            (short / name).chmod(0o755)

        def init(**_):
            attempts.append([])
            for name in servers:
                process = services.ConsolePopen([str(short / name)])
                attempts[-1].append(psutil.Process(process.pid))
                time.sleep(0.3)
                attempts[-1] += psutil.Process(process.pid).children(recursive=True)
            services.get_node("address", "node")

        monkeypatch.setattr("ray.init", init)
        begun = time.monotonic()
        with pytest.raises(OSError, match="Ray did not start on this machine in") as failed:
            local_ray.start(1)
        assert time.monotonic() - begun < 20
        return str(failed.value), attempts

    yield run
    for process in (process for attempt in attempts for process in attempt):
        if process.is_running():
            process.kill()


def running(processes):
    return [
        process
        for process in processes
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]


def test_a_start_that_takes_too_long_is_ended_and_leaves_nothing(failing, short):
    told, attempts = failing(gcs_server="sleep 1000 & sleep 1000", raylet="sleep 1000")
    assert "it did not answer within" in told
    assert "load " in told
    assert f"{short}/mmsr-{os.getuid()}/ray/session_latest/logs" in told
    (processes,) = attempts
    assert len(processes) >= 4
    psutil.wait_procs(processes, timeout=5)
    assert running(processes) == []


@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_a_server_that_ends_is_noticed_at_once(failing, monkeypatch, name):
    monkeypatch.setattr(local_ray, "_START_SECONDS", 1000.0)
    scripts = {"gcs_server": "exec sleep 1000", "raylet": "exec sleep 1000"}
    told, attempts = failing(**{**scripts, name: "exit 1"})
    assert f"its {name} has ended" in told
    assert len(attempts) == 3
    assert running(process for attempt in attempts for process in attempt) == []


def test_ray_is_ended_before_a_process_that_cannot_end_in_good_order(short, unset, monkeypatch):
    from ray._private import services

    monkeypatch.setattr(local_ray, "_running", [])
    monkeypatch.setattr("ray.init", lambda **_: services.ConsolePopen(["sleep", "1000"]))
    local_ray.start(1)
    (process,) = local_ray._running
    assert process.poll() is None
    local_ray.end()
    assert process.poll() == -9


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_local_ray_stays_with_the_program(short, unset, monkeypatch, fails):
    from ray._private import services

    def init(**_):
        if fails:
            raise RuntimeError("no")
        services.ConsolePopen(["true"]).wait()

    monkeypatch.setattr(local_ray, "_running", [])
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    with suppress(OSError), ray_cluster(None):
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert len(local_ray._running) == 1
    assert not set(TOKENS) & os.environ.keys()
    assert not set(TOKENS) & unset[-1].keys(), "nor with Ray, which reads them once"
    killed = []
    monkeypatch.setattr("os.killpg", lambda *arguments: killed.append(arguments))
    local_ray.end()
    assert killed == [], "their ids may belong to others by now"


def test_a_cluster_that_wants_a_token_says_how_to_give_it(unset, monkeypatch):
    from ray.exceptions import AuthenticationError

    def init(**_):
        raise AuthenticationError("RPC error: InvalidAuthToken")

    monkeypatch.setattr("ray.init", init)
    with (
        pytest.raises(UserError, match="wants its token: export RAY_AUTH_MODE"),
        ray_cluster("10.0.0.7:6379"),
    ):
        pytest.fail("joined")


@pytest.mark.parametrize("address", [None, "auto"])
def test_a_ray_that_the_program_has_started_itself_is_used_and_left_alone(
    unset, monkeypatch, address
):
    monkeypatch.setattr(local_ray, "_made", {"RAY_AUTH_MODE": "token"})
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    for name in ("init", "shutdown"):
        monkeypatch.setattr(f"ray.{name}", lambda **_: pytest.fail("touched"))
    with ray_cluster(address):
        pass
    assert unset == [], "its token is not read again while it runs"
    assert local_ray._made, "and stays in the environment"


def test_a_long_reason_is_shortened(short, unset, monkeypatch):
    def init(**_):
        raise RuntimeError("x " * 5000 + "\nand more")

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    with pytest.raises(OSError, match="Ray did not start") as failed:
        local_ray.start(1)
    assert len(str(failed.value)) < 300
    assert "\n" not in str(failed.value)


def test_an_interrupted_start_leaves_nothing(short, unset, monkeypatch):
    from ray._private import services

    started = []

    def init(**_):
        started.append(services.ConsolePopen(["sleep", "1000"]))
        raise KeyboardInterrupt

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    with pytest.raises(KeyboardInterrupt):
        local_ray.start(1)
    (process,) = started
    assert isinstance(process, subprocess.Popen)
    assert process.poll() == -9

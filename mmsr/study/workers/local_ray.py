"""Ray on this machine: on loopback, behind a token, in a private folder, and not left behind.

Ray runs whatever reaches its ports, so two things keep others out: it listens on 127.0.0.1 alone,
and it answers only those who have its token, which is made for this process and stored only in its
environment. Nobody else may enter the folder with the files and sockets of its session.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten

from mmsr.errors import UserError, reason_of
from mmsr.inner_names import place_of_ray, read_token_again, starting_ray

_OBJECT_STORE_BYTES = 100_000_000
"""Trials pass no data through Ray: data sets are memory-mapped."""
_START_SECONDS = 150.0
"""Ray needs 5 seconds to start, and on a busy machine a minute."""
_ATTEMPTS = 3
"""Within that time: Ray's node ends itself where its helpers need more than 15 seconds to start."""
_END_SECONDS = 5.0
_LONGEST_SOCKET = (104 if sys.platform == "darwin" else 108) - 1
"""Bytes in the path of a Unix socket."""
_LONGEST_FOLDER = _LONGEST_SOCKET - len(
    "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
)
_PROBE_BYTES = 2**20

_made: dict[str, str] = {}
"""What this process has added to its environment, so that its Ray needs a token."""
_running: list[subprocess.Popen[bytes]] = []
"""The processes of the Ray that this process has started last."""


def start(cpus: int) -> None:
    """Start Ray on this machine and connect to it.

    Parameters
    ----------
    cpus : how many CPUs it may give to trials.

    Raises
    ------
    UserError : there is no folder for its session.
    OSError : it did not start; nothing of it is left running.
    """
    import ray

    folder = session_folder()
    _make_token()
    begun = time.monotonic()
    for attempt in range(1, _ATTEMPTS + 1):
        with starting_ray(begun + _START_SECONDS - time.monotonic()) as started:
            try:
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    **place_of_ray(folder),
                )
                _running[:] = started
                return
            except BaseException as error:
                try:
                    ray.shutdown()
                finally:
                    _end(started)
                took = time.monotonic() - begun
                if not isinstance(error, Exception):
                    raise
                if attempt == _ATTEMPTS or took > 0.75 * _START_SECONDS:
                    raise OSError(_told(error, took, folder)) from None


def is_running() -> bool:
    """Whether this process has started Ray on this machine, and not shut it down."""
    return bool(_running)


def end() -> None:
    """Kill this process's Ray at once, before the process ends without its cooperation."""
    _end(_running)


def check_token_file() -> None:
    """Refuse a `$RAY_AUTH_TOKEN_PATH` with which Ray could only fail.

    Raises
    ------
    UserError : the file cannot be read, or is empty.
    """
    if os.environ.get("RAY_AUTH_TOKEN") or not (name := os.environ.get("RAY_AUTH_TOKEN_PATH")):
        return
    try:
        if Path(name).expanduser().read_bytes().strip():
            return
        problem = "it is empty"
    except OSError as error:
        problem = reason_of(error)
    raise UserError(
        f"RAY_AUTH_TOKEN_PATH {name!r} holds no token ({problem}): name the file with Ray's token, "
        "or unset it"
    )


def forget() -> None:
    """Forget the Ray that this process has shut down: its processes, and its token.

    Their ids may be given to others, and the token would be shown to the next Ray.
    """
    _running.clear()
    if _made:
        for name, value in _made.items():
            if os.environ.get(name) == value:
                del os.environ[name]
        _made.clear()
        read_token_again()


def session_folder() -> Path:
    """A folder for Ray's sessions that only this user can enter, with a path short enough.

    It is made in `$RAY_TMPDIR` or, if that is unset, in the first of `$TMPDIR`, `/tmp` and
    `/var/tmp` that will do.

    Raises
    ------
    UserError : none will do; says what is wrong with each.
    """
    named = os.environ.get("RAY_TMPDIR")
    places = (named,) if named else (os.environ.get("TMPDIR") or "/tmp", "/tmp", "/var/tmp")
    problems = {}
    for place in dict.fromkeys(places):
        folder = Path(place).absolute() / f"mmsr-{os.getuid()}" / "ray"
        if (problem := _problem(folder)) is None:
            return folder
        problems[place] = problem
    told = "; ".join(f"{place}: {problem}" for place, problem in problems.items())
    raise UserError(
        f"Ray has no folder for its session ({told}): set RAY_TMPDIR to a folder of yours on this "
        "machine with a short path and free space"
    )


def _problem(folder: Path) -> str | None:
    """Why `folder` cannot hold Ray's sessions; None if it can, and then it is there."""
    if (length := len(os.fsencode(folder))) > _LONGEST_FOLDER:
        return f"its path is {length - _LONGEST_FOLDER} bytes too long for Ray's sockets"
    private = folder.parent  # Ray opens its own folder to everybody
    try:
        private.mkdir(mode=0o700, exist_ok=True)
        found = private.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return f"{private.name} in it belongs to somebody else"
        private.chmod(0o700)
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
    except OSError as error:
        return reason_of(error)
    return None


def _make_token() -> None:
    """Put a new token into the environment, unless there is one, and let Ray require it."""
    wanted = {"RAY_AUTH_MODE": "token"}
    if not (os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")):
        wanted["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    missing = {name: value for name, value in wanted.items() if not os.environ.get(name)}
    if missing:
        os.environ.update(missing)
        _made.update(missing)
        read_token_again()


def _end(started: Iterable[subprocess.Popen[bytes]]) -> None:
    """Kill processes of Ray, and those that they have started."""
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    for process in started:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)


def _told(error: Exception, took: float, folder: Path) -> str:
    first = shorten(str(error).strip().partition("\n")[0], 120) or type(error).__name__
    return (
        f"Ray did not start on this machine in {took:.0f} s: {first} (load "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores): end other work or wait, and see the "
        f"logs in {folder}/session_latest/logs"
    )

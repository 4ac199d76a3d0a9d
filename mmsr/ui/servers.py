"""Servers on loopback: started, waited for, watched, and stopped with all of their processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from mmsr.errors import UserError, one_line, printable, reason_of
from mmsr.ui.dashboard import STORAGE
from mmsr.urls import Url

PATIENCE = 180.0
"""Seconds that a server may take to answer; MLflow takes ten on an idle machine."""
_LOOPBACK = "127.0.0.1"
_GRACE = 5.0
"""Seconds that a server gets to stop by itself."""
_ERROR = re.compile(r"\w*(Error|Exception)\b|\berror:", re.ASCII)
_KEEPER = (sys.executable, "-m", "mmsr.ui.keeper")


class ServerDied(RuntimeError):
    """A server has ended by itself, or does not answer."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise ServerDied if it has ended."""
        if self.process.poll() is not None:
            raise ServerDied(
                one_line(
                    f"{self.name} has ended: {self._last_words()}; run the command again, or give "
                    "another --port"
                )
            )

    def wait(self, path: str) -> None:
        """Wait until it answers.

        Parameters
        ----------
        path : a path that it answers once it is ready.

        Raises
        ------
        ServerDied : it has ended, or does not answer in time.
        """
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.check()
            with (
                suppress(OSError, HTTPException),
                direct.open(self.address + path, timeout=5) as page,
            ):
                if page.status == 200:
                    return
            time.sleep(0.2)
        raise ServerDied(
            f"{self.name} does not answer after {PATIENCE:.0f} seconds: end other work, or try "
            "again later"
        )

    def stop(self) -> None:
        """End it with all of its processes."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + _GRACE
            there = self._signal(number)
            while there and time.monotonic() < deadline:
                time.sleep(0.05)
                there = self._signal(0)
            if not there:
                return

    def _signal(self, number: int) -> bool:
        """Send a signal to its process group; returns whether there is one."""
        self.process.poll()  # else it stays there as a zombie
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
            return True
        return False

    def _last_words(self) -> str:
        """The last line of its log that looks like an error, else the last one."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        said = [line for line in reversed(lines) if line]
        errors = (line for line in said if _ERROR.search(line))
        return printable(next(errors, said[0] if said else "it said nothing"))


def mlflow_server(store: Url, port: int) -> tuple[list[str], dict[str, str]]:
    """Command and environment of an MLflow server.

    Parameters
    ----------
    store : its database.
    port : port on loopback.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", _LOOPBACK, "--port", str(port)]
    # More than one worker costs 40 ms a call. Outside its sandbox, MLflow's assistant runs commands
    # for whoever reaches the port: every account of this machine.
    return [*command, "--workers", "1"], {
        "MLFLOW_ENABLE_ASSISTANT_SANDBOX": "true",
        "MLFLOW_BACKEND_STORE_URI": store.reveal(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def dashboard_server(storage: Url, port: int) -> tuple[list[str], dict[str, str]]:
    """Command and environment of an optuna-dashboard.

    Parameters
    ----------
    storage : Optuna's database.
    port : port on loopback.
    """
    command = [sys.executable, "-m", "mmsr.ui.dashboard", str(port)]
    return command, {STORAGE: storage.reveal()}


def free_ports(names: Sequence[str], first: int | None = None) -> dict[str, int]:
    """Ports on loopback that nothing listens on now, by server.

    Parameters
    ----------
    names : the servers that need one.
    first : the port that MLflow is to have; optuna-dashboard has the next. None takes any.

    Raises
    ------
    UserError : one that is wanted is taken.
    """
    with ExitStack() as stack:
        found = {}
        for name in names:
            wanted = 0 if first is None else first + (name != "MLflow")
            free = stack.enter_context(socket.socket())
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                free.bind((_LOOPBACK, wanted))
            except OSError as error:
                raise UserError(
                    f"--port {first}: port {wanted} cannot be used ({reason_of(error)}): give "
                    "another, or leave --port out"
                ) from None
            found[name] = int(free.getsockname()[1])
        return found


@contextmanager
def running(
    servers: Mapping[str, tuple[int, Sequence[str], Mapping[str, str]]],
) -> Iterator[dict[str, Server]]:
    """Start servers, and stop them at the end of the context, or if this process is killed.

    Parameters
    ----------
    servers : port, command and environment of each, by name.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mmsr-ui-"))
        started = {}
        for name, (port, command, environment) in servers.items():
            log = Path(folder) / f"{name}.log"
            with log.open("wb") as file:
                process = subprocess.Popen(
                    [*_KEEPER, *command],
                    env={**os.environ, **environment},
                    stdin=subprocess.PIPE,  # closed when this process ends
                    stdout=file,
                    stderr=file,
                    cwd=folder,  # MLflow makes folders where it runs
                    start_new_session=True,  # Ctrl-C is for this process, which stops them
                )
            started[name] = Server(name, f"http://{_LOOPBACK}:{port}", process, log)
            stack.callback(started[name].stop)
        yield started


def watch(servers: Sequence[Server]) -> None:
    """Wait until a server ends; Ctrl-C raises KeyboardInterrupt.

    Parameters
    ----------
    servers : the running servers.

    Raises
    ------
    ServerDied : one has ended.
    """
    while True:
        for server in servers:
            server.check()
        time.sleep(0.3)

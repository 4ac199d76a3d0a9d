"""Servers that tests of studies start for themselves."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class PostgresServer:
    """A PostgreSQL server of a test's own, which can be killed and started again.

    Parameters
    ----------
    folder : an empty folder for it.
    binaries : the folder of its programs.
    """

    def __init__(self, folder: Path, binaries: Path) -> None:
        # The server refuses to run as root.
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._user:
            for part in (folder, *folder.parents[:3]):
                part.chmod(0o755)
            shutil.chown(folder, "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._folder, self._binaries = folder, binaries
        self._data = folder / "data"
        self._options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.url = f"postgresql+psycopg://mmsr@127.0.0.1:{port}/postgres"
        self._run("initdb", "-D", str(self._data), "-U", "mmsr", "-A", "trust")

    def start(self) -> None:
        """Start it; after it was killed, as soon as the last of its processes is gone."""
        command = ("-D", str(self._data), "-w", "-l", str(self._folder / "log"))
        deadline = time.monotonic() + 60
        while True:
            try:
                return self._run("pg_ctl", *command, "-o", self._options, "start")
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def kill(self) -> None:
        """End it without warning."""
        os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def stop(self) -> None:
        """Stop it."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._user, str(self._binaries / program), *arguments]
        # No pipes: the server would keep them open.
        quiet = subprocess.DEVNULL
        subprocess.run(command, check=True, stdout=quiet, stderr=quiet)


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A running PostgreSQL server."""
    pytest.importorskip("psycopg", reason="needs `pip install 'mmsr[postgres]'`")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("PostgreSQL's server is not installed")
    folder = tmp_path_factory.mktemp("server") / "pg"
    folder.mkdir()
    server = PostgresServer(folder, programs[-1].parent)
    server.start()
    try:
        yield server
    finally:
        server.stop()

"""What breaks under studies: servers that can be killed, folders that take no more files."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
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
        """Start it, for the first time or after it was killed."""
        log = self._folder / "log"
        command = ("pg_ctl", "-D", str(self._data), "-w", "-t", "300", "-l", str(log))
        try:
            self._run(*command, "-o", self._options, "start")
        except subprocess.CalledProcessError:
            pytest.fail(log.read_text()[-2000:])

    def kill(self) -> None:
        """End all of it without warning, as when its machine goes down."""
        server = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=60)

    def stop(self) -> None:
        """Stop it."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._user, str(self._binaries / program), *arguments]
        # No pipes: the server would keep them open.
        quiet = subprocess.DEVNULL
        subprocess.run(command, check=True, stdout=quiet, stderr=quiet)


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL server."""
    pytest.importorskip("psycopg", reason="needs `pip install 'mmsr[postgres]'`")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("PostgreSQL's server is not installed")
    # Not among pytest's own folders, which no other user can enter.
    with TemporaryDirectory(prefix="mmsr-pg-") as folder:
        server = PostgresServer(Path(folder), programs[-1].parent)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def small_disk() -> Iterator[Callable[[Path, int], tuple[Path, bool]]]:
    """Makes a folder of so many megabytes, and whether that worked: it takes root to mount one."""
    mounted: list[Path] = []

    def make(folder: Path, megabytes: int) -> tuple[Path, bool]:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        if os.geteuid() == 0 and not subprocess.run(command, capture_output=True).returncode:
            mounted.append(folder)
        return folder, folder in mounted

    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def _full(folder: Path) -> Iterator[None]:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(2**16))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _immutable(folder: Path) -> Iterator[None]:
    files = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    modes = {path: path.stat().st_mode for path in files}

    def chattr(flag: str) -> bool:
        command = ["chattr", "-f", flag, *map(str, files)]
        return bool(shutil.which("chattr")) and not subprocess.run(command).returncode

    if os.geteuid() != 0:
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
    elif not chattr("+i"):
        chattr("-i")
        pytest.skip("root writes everywhere, and this file system knows no immutable files")
    try:
        yield
    finally:
        if os.geteuid() == 0:
            assert chattr("-i")
        else:
            for path, mode in modes.items():
                path.chmod(mode)


@pytest.fixture(scope="session")
def full() -> Callable[[Path], AbstractContextManager[None]]:
    """Fills the file system of a folder to the last byte, until its block ends."""
    return _full


@pytest.fixture(scope="session")
def immutable() -> Callable[[Path], AbstractContextManager[None]]:
    """Lets nobody write, make or remove anything in a folder, until its block ends."""
    return _immutable

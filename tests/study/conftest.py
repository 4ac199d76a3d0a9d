"""What breaks under studies: servers that can be killed, folders that take no more files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest


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

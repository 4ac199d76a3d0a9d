"""Training with other libraries for `baselines.py`: their environments and their processes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import common

OTHERS = Path(__file__).parent / "others"
"""Per library: a script that trains its models, and the versions that it needs."""
VERSIONS = {"recbole": "1.2.1", "rectools": "0.19.0"}


class Seconds(NamedTuple):
    """What an epoch took, in seconds."""

    wall: float
    cpu: float
    """Processor time of the whole process."""


def add_environments(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder of `environment`."""
    parser.add_argument(
        "--environments",
        type=Path,
        default=common.ROOT / "build" / "baselines",
        metavar="FOLDER",
        help="where the libraries are installed, and found again",
    )


def environment(library: str, folder: Path) -> Path:
    """Python of a library's environment, which is made where it is not whole."""
    place = folder / library
    python, stamp = place / "bin" / "python", place / "installed"
    needs = (OTHERS / f"{library}.txt").read_text() + torch_pin()
    if stamp.exists() and stamp.read_text() == needs:
        return python
    print(f"installing {library} {VERSIONS[library]} in {place} (about 2 minutes, 1 GB)")
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    wanted = place / "requirements.txt"
    wanted.write_text(needs)
    pip = (python, "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    subprocess.run([*pip, "-r", wanted], check=True)
    stamp.write_text(needs)
    return python


def torch_pin() -> str:
    """The line of `constraints.txt` that names torch's version."""
    lines = (common.ROOT / "constraints.txt").read_text().splitlines(keepends=True)
    (pin,) = (line for line in lines if line.startswith("torch=="))
    return pin


class Other:
    """A model of another library, in a process that waits between epochs.

    Parameters
    ----------
    python : that of the library's environment.
    script : speaks the protocol of `others/`.
    given : what the script is told.
    folder : what the process writes goes there.
    """

    def __init__(
        self, python: Path, script: Path, given: Mapping[str, object], folder: Path
    ) -> None:
        self._errors = folder / "errors.txt"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [python, "-E", "-W", "ignore", script, json.dumps(given)],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": str(given["threads"])},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    @cached_property
    def about(self) -> dict[str, Any]:
        """What is trained; waits until it is ready."""
        return self._answer()

    def epoch(self) -> Seconds:
        """Train, and return what an epoch takes."""
        about = self.about
        assert self._process.stdin is not None
        self._process.stdin.write("epoch\n")
        self._process.stdin.flush()
        answer = self._answer()
        part = Seconds(answer["seconds"], answer["cpu_seconds"])
        return whole_epoch(part, answer["examples"], about["examples"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise RuntimeError(f"the process ended:\n{self._errors.read_text()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


def whole_epoch(part: Seconds, done: int, examples: int) -> Seconds:
    """What a whole epoch takes, from what `done` of its examples took."""
    return Seconds(part.wall * examples / done, part.cpu * examples / done)

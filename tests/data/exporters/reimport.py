"""The import command of a Parquet export's README, as a user copies it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.data import Dataset


def again(folder: Path, home: Path) -> Dataset:
    """Run the import command of an export's README in another home."""
    (line,) = re.findall(r"^    (mmsr data import .*)$", (folder / "README.md").read_text(), re.M)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MMSR_HOME", str(home))
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output or done.exception
        return Dataset.open(shlex.split(line)[3])

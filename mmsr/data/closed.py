"""Test is closed to trials: how a trial is known, and which files are out of its reach.

A worker marks its process as a trial's before it loads the trainer. The mark is a variable of the
environment, so every process that descends from the worker has it too.
"""

from __future__ import annotations

import os
from pathlib import Path

from mmsr import paths
from mmsr.errors import UserError

TRIAL = "MMSR_TRIAL"
"""Environment variable that marks the process of a trial, and those that it starts."""
TEST_FILE = "test.arrow"
RULE = (
    "test is closed to trials: they are chosen on validation, and `mmsr study finalize` opens test "
    "once they are done"
)


def enter_trial(name: str) -> None:
    """Mark this process as a trial's, for as long as it lives.

    The mark is never taken back: a worker that is reused runs nothing but trials, and something
    that one of them left behind must not find test open.

    Parameters
    ----------
    name : what runs here, e.g. ``"trial 3"``.
    """
    os.environ[TRIAL] = name


def in_trial() -> bool:
    """Whether this process is a trial's, or descends from one."""
    return TRIAL in os.environ


def refuse_in_trial() -> None:
    """Raise UserError if this process is a trial's, or descends from one."""
    if in_trial():
        raise UserError(f"{RULE}; this process belongs to {os.environ[TRIAL]}")


def refuse_held_out(path: Path) -> None:
    """Refuse a path that leads to a test part, by links and `..` too, in any process.

    Data sets and modalities may have any name, `held-out` and `test` too.

    Parameters
    ----------
    path : the file or folder that is about to be read.

    Raises
    ------
    UserError : it is a test part, or lies in a folder of test parts.
    """
    given, real = path.absolute(), path.resolve()
    # A link may have another name than the file that it leads to.
    if _is_held_out(real) or _is_test_file(given) or _is_test_file(real):
        raise UserError(
            f"{path} belongs to a test part ({real}), and nothing but `open_test` reads that: "
            f"{RULE}"
        )


def _is_held_out(real: Path) -> bool:
    if real.is_relative_to(paths.held_out().resolve()):
        return True
    homes = (paths.home().resolve(), paths.datasets().resolve())
    return paths.HELD_OUT in real.parts and not any(real.is_relative_to(home) for home in homes)


def _is_test_file(path: Path) -> bool:
    is_feature = path.parent.name == "features" and path.parents[1] not in (
        paths.datasets(),
        paths.datasets().resolve(),
    )
    return path.name == TEST_FILE and not is_feature and not path.is_dir()

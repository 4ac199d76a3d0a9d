"""Provenance of a result: versions, commit, user, command line and time."""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

from mmsr.notices import OPTION
from mmsr.urls import hidden_word
from mmsr.version import __version__

_PACKAGES = ("torch", "ray", "optuna", "mlflow", "numpy", "scikit-learn", "pyarrow")


class ResultOrigin(TypedDict):
    """The command, time and code that gave a result."""

    command: str
    created_at: str
    code: dict[str, str]


def provenance() -> ResultOrigin:
    """The provenance of a result of this process, now."""
    return ResultOrigin(command=command_line(), created_at=now(), code=code_version())


def command_line() -> str:
    """This process's command line, with the program's name but not its folder."""
    if is_interactive():
        return "in a notebook or an interactive session"
    program, *arguments = words()
    return shlex.join(map(hidden_word, [Path(program).name, *arguments]))


def words() -> list[str]:
    """The words of this process's command line, as they may be stored once each is hidden.

    The receiver of notices is left out: all of its URL may be a secret.
    """
    given, kept = iter(sys.argv), list[str]()
    for word in given:
        if word == OPTION:
            next(given, None)
        elif not word.startswith(f"{OPTION}="):
            kept.append(word)
    return kept


def is_interactive() -> bool:
    """Whether this is a notebook or an interactive session, whose command line says nothing."""
    return not hasattr(sys.modules["__main__"], "__file__") and sys.argv[:1] != ["-c"]


def the_same() -> str:
    """What resumes an interrupted run: the same command, or in a notebook the same call."""
    return "the same call" if is_interactive() else "the same command"


def now() -> str:
    """The current time in UTC, to the second, in ISO format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@lru_cache(maxsize=1)
def code_version() -> dict[str, str]:
    """Versions of mmsr, Python and the main packages, and mmsr's commit if it runs from a clone."""
    found = {"version": __version__, "commit": _commit(), "python": platform.python_version()}
    for name in _PACKAGES:
        found[f"package.{name}"] = importlib.metadata.version(name)
    return {name: value for name, value in found.items() if value}


def code_tags() -> dict[str, str]:
    """Versions, program and user as tags of a run, under MLflow's own names if it has some."""
    code = code_version()
    packages = {name.partition(".")[2]: code[name] for name in code if name.startswith("package.")}
    tags = {
        "mmsr.version": code["version"],
        "mmsr.commit": code.get("commit", ""),
        "mlflow.source.git.commit": code.get("commit", "").removesuffix("+"),
        "mmsr.python": code["python"],
        "mmsr.packages": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "mlflow.source.name": os.path.basename(sys.argv[0]),
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user(),
    }
    return {name: value for name, value in tags.items() if value}


def _commit() -> str:
    """Commit of the clone that mmsr runs from; `+` marks uncommitted changes."""
    clone = Path(__file__).parent.parent
    if not (clone / ".git").exists():
        return ""
    try:
        commit = _git(clone, "rev-parse", "HEAD")
        changed = _git(clone, "status", "--porcelain", "--untracked-files=no", "--", "mmsr")
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+" if changed else "")


def _git(clone: Path, *arguments: str) -> str:
    # Reading must not take the clone's lock: a killed process would leave it behind.
    command = ["git", "--no-optional-locks", "-C", str(clone), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def user() -> str:
    """The name of the user whose process this is."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"

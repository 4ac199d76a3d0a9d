"""A study's folder under `$MMSR_HOME/studies`: its record, its lock and its files."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from mmsr import paths
from mmsr.errors import UserError, reason_of
from mmsr.paths import NAME
from mmsr.remote import AnyPath, RemotePath

HOW_TO_START = "write one with `mmsr study new NAME --dataset DATASET`, and run it"
"""What to do where there is no study."""


CALL = "Study(…"
"""Begins what stands for a command where a study was run from a notebook."""


class StudyRecord(BaseModel):
    """Where a study's state is stored, for commands that know only its name."""

    model_config = ConfigDict(frozen=True)

    name: str
    uid: str
    """Unique id of the study; another study of the same name has another id."""
    dataset: str
    objective: str
    storage: str
    """Where its state is, as `mmsr.tracking.databases.recorded` writes it: without a password."""
    tracking: str
    """Where its runs are, written in the same way."""
    command: str
    """The command that resumes the study."""
    directory: str | None = None
    """Where it was given; None in records of older versions."""
    resources: dict[str, float] | None = None
    """What each trial gets; None in records of older versions."""

    @property
    def resumption(self) -> str:
        """How the study is resumed, in words."""
        if self.command.startswith(CALL):
            return f"resume by running the notebook of {self.command} again"
        return f"resume with: {self.command}"


class StudyFolder:
    """The folder of one study.

    Parameters
    ----------
    name : the study's name.

    Raises
    ------
    UserError : the name has characters that are not allowed.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UserError(
                f"bad study name {name!r}: use up to 100 letters, digits, '.', '_' and '-', "
                "beginning with a letter or digit"
            )
        self.name = name
        self.path = paths.studies() / name

    @property
    def ray(self) -> AnyPath:
        """Ray Tune's experiment folder with the trials' checkpoints; all nodes can reach it."""
        shared = paths.remote()
        return self.path / "ray" if shared is None else shared / "studies" / self.name / "ray"

    def for_tune(self) -> dict[str, Any]:
        """The same folder as arguments of Tune's `RunConfig`."""
        parent = self.ray.parent
        if isinstance(parent, RemotePath):
            place = {"storage_path": parent.key, "storage_filesystem": parent.filesystem}
        else:
            place = {"storage_path": str(parent)}
        return {"name": self.ray.name, **place}

    @property
    def finalized(self) -> Path:
        """`finalized.json`: the results of `mmsr study finalize`, and when test was opened."""
        return self.path / "finalized.json"

    @property
    def knockouts(self) -> Path:
        """`knockouts.json`: how much each modality contributes to the best trial's model."""
        return self.path / "knockouts.json"

    def read_record(self) -> StudyRecord | None:
        """The study's record; None if there is no such study.

        Raises
        ------
        UserError : the record cannot be read.
        """
        try:
            return StudyRecord.model_validate_json((self.path / "study.json").read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:  # pydantic's, and that of bytes that are no text
            reason = reason_of(error) if isinstance(error, OSError) else "it is damaged"
            raise UserError(
                f"cannot read {self.path / 'study.json'}: {reason}; restore it, or remove the "
                "folder (trials remain in the storage, checkpoints are deleted)"
            ) from None

    def write_record(self, record: StudyRecord) -> None:
        """Write `record` so that the file is complete or not there."""
        self.write("study.json", record.model_dump_json(indent=1))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the exclusive right to run this study, inside this context.

        Raises
        ------
        UserError : another process holds the right, or the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "lock")
            lock.acquire(blocking=False)
        except Timeout:
            raise UserError(
                f"study {self.name!r} is being run {self._holder()}: wait for it, stop it, or "
                "give --name for another study"
            ) from None
        except OSError as error:
            raise UserError(
                f"cannot write to {self.path}: {reason_of(error)}; set MMSR_HOME to a "
                "folder that can be written"
            ) from None
        try:
            self.write("driver.json", json.dumps({"pid": os.getpid(), "host": _host()}))
            yield
        finally:
            lock.release()

    def is_running(self) -> bool:
        """Whether a process is running this study."""
        if not (self.path / "lock").exists():
            return False
        try:
            with FileLock(self.path / "lock", blocking=False):
                return False
        except Timeout:
            return True
        except OSError:  # not writable for us, so not running: whoever runs it must write here
            return False

    def _holder(self) -> str:
        try:
            driver = json.loads((self.path / "driver.json").read_text())
            return f"by process {driver['pid']} on {driver['host']}"
        except (OSError, ValueError, KeyError):
            return "by another process"

    def write(self, name: str, text: str) -> None:
        """Write a file of the folder so that it is complete or not there.

        Parameters
        ----------
        name : name of the file.
        text : its contents; a line break is added.

        Raises
        ------
        UserError : the file cannot be written.
        """
        self.write_bytes(self.path / name, f"{text}\n".encode())

    def write_bytes(self, path: Path, data: bytes) -> None:
        """Write a file of the folder, or of one in it, so that it is complete or not there.

        Parameters
        ----------
        path : the file; a folder in this one is made where it is missing.
        data : its contents.

        Raises
        ------
        UserError : the file cannot be written.
        """
        try:
            if path.parent != self.path:
                path.parent.mkdir(exist_ok=True)
            paths.write_whole(path, data)
        except OSError as error:
            raise UserError(
                f"cannot write {path}: {reason_of(error)}; give the command again when that is "
                "mended"
            ) from None


def study_names() -> list[str]:
    """Names of the studies that have been run from this `$MMSR_HOME`, sorted."""
    found = (path.parent.name for path in paths.studies().glob("*/study.json"))
    return sorted(name for name in found if not name.startswith("."))  # left of a removed one


def _host() -> str:
    return socket.gethostname()

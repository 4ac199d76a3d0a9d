"""The folder of a tracked training under `$MMSR_HOME/trainings`: its record, lock and journal.

It is kept only as long as it is needed: until its run has ended and is stored on the server.
"""

from __future__ import annotations

import shutil
import uuid
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr import paths
from mmsr.paths import write_whole

RECORD, LOCK = "training.json", "lock"


class TrainingRecord(BaseModel):
    """What is known of a tracked training."""

    model_config = ConfigDict(frozen=True)

    id: str
    """Unique id, 32 hexadecimal digits; the run is found by it."""
    dataset: str
    tracking: str
    """Where its run is, as `mmsr.tracking.databases.recorded` writes it: without a password."""
    command: str
    checkpoint: str | None = None
    """Absolute path of the checkpoint from which it can be resumed."""

    @property
    def experiment(self) -> str:
        """The experiment of all trainings on the data set; no study can have this name."""
        return f"train/{self.dataset}"

    @property
    def folder(self) -> Path:
        """Its folder."""
        return paths.trainings() / self.id


def new_record(
    dataset: str, tracking: str, command: str, checkpoint: Path | None
) -> TrainingRecord:
    """Record a new training, with a folder of its own.

    Parameters
    ----------
    dataset : name of its data set.
    tracking : where its run is, without a password.
    command : the command that runs it.
    checkpoint : folder of its checkpoint; None if it has none.

    Raises
    ------
    OSError : the folder cannot be written.
    """
    record = TrainingRecord(
        id=uuid.uuid4().hex,
        dataset=dataset,
        tracking=tracking,
        command=command,
        checkpoint=None if checkpoint is None else str(checkpoint.resolve()),
    )
    record.folder.mkdir(parents=True)
    write_whole(record.folder / RECORD, record.model_dump_json(indent=1).encode())
    return record


def records() -> list[TrainingRecord]:
    """The trainings whose folders are there, oldest first; damaged records are passed over."""
    found = []
    for path in paths.trainings().glob(f"*/{RECORD}"):
        try:
            record = TrainingRecord.model_validate_json(path.read_bytes())
            found.append((path.stat().st_mtime, record))
        except (OSError, ValidationError):
            continue
    return [record for _, record in sorted(found, key=lambda one: one[0])]


def resumed_record(checkpoint: Path, dataset: str) -> TrainingRecord | None:
    """The newest training that wrote a checkpoint; None where it is not known any more.

    Parameters
    ----------
    checkpoint : folder of the checkpoint.
    dataset : name of its data set.
    """
    where = str(checkpoint.resolve())
    own = [one for one in records() if (one.checkpoint, one.dataset) == (where, dataset)]
    return own[-1] if own else None


def only_writer(record: TrainingRecord) -> AbstractContextManager[bool]:
    """Hold the exclusive right to write a training's journal; False if another process has it.

    Parameters
    ----------
    record : the training.

    Raises
    ------
    OSError : its folder cannot be written.
    """
    return paths.if_free(record.folder / LOCK)


def remove(record: TrainingRecord) -> None:
    """Remove the folder of a training whose run is stored on the server.

    Parameters
    ----------
    record : the training.
    """
    shutil.rmtree(record.folder, ignore_errors=True)

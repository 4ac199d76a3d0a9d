"""A trial as it runs on a worker: train one config, report each epoch with a checkpoint.

The worker opens the development data itself (memory-mapped, so that processes on one node share it)
and knows neither Optuna nor the tracking server. Before it loads the trainer, it marks its process
as a trial's: from then on test is closed to it (see `mmsr.data.closed`).
"""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Protocol

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.data.closed import enter_trial
from mmsr.errors import UserError, one_line
from mmsr.remote import on_this_machine, place
from mmsr.study.workers.board import written_to
from mmsr.study.workers.failures import out_of_memory
from mmsr.study.workers.messages import Failure, Report, Task
from mmsr.tracking.energy import Energy, metered
from mmsr.tracking.usage import Usage
from mmsr.urls import hidden

CONFIG_FILE, REPORT_FILE = "config.yaml", "report.json"
_ENVIRONMENT = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EIO,
    errno.ESTALE,
    errno.EMFILE,
    errno.ENFILE,
}
"""System errors that are not due to a trial's settings."""


class _Epoch(Protocol):
    """What the training generator yields (see `mmsr.training.EpochResult`)."""

    epoch: int
    metrics: dict[str, float]
    best_epoch: int
    best_metrics: dict[str, float]
    finished: bool

    def save_checkpoint(self, folder: Path) -> None: ...


def run_trial(settings: dict[str, Any]) -> None:
    """Run one trial; Ray Tune calls this function.

    An exception is reported as a failure instead of being left to Ray, which would retry it: the
    same training would raise it again. Only a worker that dies, or is out of memory, is started
    again, from the newest checkpoint.

    Parameters
    ----------
    settings : a `Task` as JSON, under the key `task`.
    """
    from ray import tune

    task = Task.model_validate_json(settings["task"])
    enter_trial(f"trial {task.number}")
    try:
        with _resumption(task, tune.get_checkpoint()) as resume:
            _train(task, resume, tune)
    except Exception as error:
        if out_of_memory(error):  # others may have used it; only a new worker frees this one's
            raise
        message = str(error).strip().partition("\n")[0]
        failure = Failure(
            error=one_line(f"{type(error).__name__}: {hidden(message)}"),
            traceback=hidden(traceback.format_exc()),
            environment=_from_environment(error),
        )
        tune.report({"failure": failure.model_dump_json()})
    finally:
        if task.device == "cuda":  # the worker is reused for the next trial
            import torch

            torch.cuda.empty_cache()


@contextmanager
def _resumption(task: Task, own: Any) -> Iterator[Path | None]:
    """Folder here of the checkpoint to resume from: the worker's own, else the task's."""
    from pyarrow.fs import LocalFileSystem

    if own is not None and not isinstance(own.filesystem, LocalFileSystem):
        with own.as_directory() as folder:
            yield Path(folder)
    elif own is not None:
        yield Path(own.path)
    elif task.checkpoint:
        with on_this_machine(place(task.checkpoint)) as folder:
            yield folder
    else:
        yield None


def _train(task: Task, resume: Path | None, tune: Any) -> None:
    os.environ["MMSR_HOME"] = task.home
    config = Config.from_dict(task.config)
    dataset = open_dataset(config.dataset, task.dataset_hash, task.home)
    train = load_trainer(task.trainer)
    before = Report.model_validate_json((resume / REPORT_FILE).read_text()) if resume else None
    started = time.monotonic() - (before.seconds if before else 0.0)
    costs = _costs(config, dataset) if task.costs else {}
    yielded, usage = False, Usage()
    watched = _watched(train, written_to(task.board, task.number, config.training.epochs))
    with metered(task.energy, task.gpus, before.energy if before else None) as energy:
        for result in train(config, dataset, device=task.device, resume=resume, **watched):
            yielded = True
            with _home_shared(task.home):
                seconds = time.monotonic() - started
                _report(result, task, config, costs, usage.since_last(), energy(), seconds, tune)
    if not yielded and before is not None:  # it had finished before its driver could record it
        tune.report({"report": before.model_dump_json()})


def _watched(train: Callable[..., Any], progress: Callable[[Any], None]) -> dict[str, Any]:
    """The argument that has a trainer tell its progress; none if the trainer has no such one."""
    return {"progress": progress} if "progress" in signature(train).parameters else {}


def _costs(config: Config, dataset: Dataset) -> dict[str, float]:
    from mmsr.training.epoch_cost import epoch_cost

    return epoch_cost(config, dataset)


def _report(
    result: _Epoch,
    task: Task,
    config: Config,
    costs: dict[str, float],
    used: dict[str, float],
    energy: Energy,
    seconds: float,
    tune: Any,
) -> None:
    report = Report(
        epoch=result.epoch,
        metrics=result.metrics | costs | used | energy.metrics(),
        best_epoch=result.best_epoch,
        best_metrics=result.best_metrics | costs,
        finished=result.finished,
        seconds=seconds,
        energy=energy,
    )
    with tempfile.TemporaryDirectory(prefix="mmsr-") as scratch:
        folder = Path(scratch) / "checkpoint"
        result.save_checkpoint(folder)
        provenance = {"dataset_hash": task.dataset_hash, "metrics": result.best_metrics}
        (folder / CONFIG_FILE).write_text(config.to_yaml(provenance))
        files = {path.name: path.stat().st_size for path in folder.iterdir()}
        whole = report.model_copy(update={"files": files})
        (folder / REPORT_FILE).write_text(whole.model_dump_json())
        checkpoint = tune.Checkpoint.from_directory(str(folder))
        tune.report({"report": report.model_dump_json()}, checkpoint=checkpoint)


@contextmanager
def _home_shared(home: str) -> Iterator[None]:
    """Explain Ray's error if this node's home is another folder than the driver's."""
    try:
        yield
    except RuntimeError as error:
        if "cluster storage" not in str(error):
            raise
        raise _WrongMachine(
            f"{home} on {socket.gethostname()} is another folder than the driver's: set MMSR_HOME "
            "to one that all nodes share, or to one in an object store (s3://BUCKET/FOLDER)"
        ) from None


class _WrongMachine(UserError):
    """The machine lacks the study's data set, has another one of that name, or another home."""


def _from_environment(error: BaseException | None) -> bool:
    """Whether the machine is at fault; an error caused by a system error counts as that."""
    while error is not None:
        if isinstance(error, _WrongMachine):
            return True
        if isinstance(error, OSError) and error.errno in _ENVIRONMENT:
            return True
        error = error.__cause__ or error.__context__
    return False


@lru_cache(maxsize=1)
def open_dataset(name: str, content_hash: str, home: str) -> Dataset:
    """Open the data set, once for all trials of a reused worker.

    Parameters
    ----------
    name : name of the data set.
    content_hash : hash that its contents must have.
    home : `$MMSR_HOME`, for the error.

    Raises
    ------
    UserError : it is not there, or has other contents.
    """
    try:
        dataset = Dataset.open(name)
    except UserError as error:
        raise _WrongMachine(str(error)) from None
    if dataset.content_hash != content_hash:
        raise _WrongMachine(
            f"data set {name!r} under {home} is not the one the study was made with "
            f"({dataset.content_hash[:12]}, not {content_hash[:12]}): copy that one to every node"
        )
    return dataset


def load_trainer(path: str) -> Callable[..., Iterator[_Epoch]]:
    """The training generator of an import path.

    Parameters
    ----------
    path : the import path, `module:function`.
    """
    module, _, name = path.partition(":")
    found: Callable[..., Iterator[_Epoch]] = getattr(import_module(module), name)
    return found

"""Measures one trial on the cluster that the study will run on, before it runs.

The measurement runs in a fresh worker process of Ray, as a trial would, with the trial's own data,
codes and device; if Ray was not started, in a fresh process on this machine. Results are cached
under `$MMSR_HOME/cache/measured`, by data, config, code and cluster.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr import paths
from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.provenance import code_version
from mmsr.study.storage.definition import TRAINER
from mmsr.study.workers.addresses import address_of_others, is_connected
from mmsr.study.workers.cluster import is_free
from mmsr.study.workers.messages import Task
from mmsr.study.workers.resources import Resources

if TYPE_CHECKING:
    from mmsr.study.planning.plan import Plan
    from mmsr.training.sample import SampleCost

_SECONDS = 6.0
"""Seconds of training that are timed."""


class Measured(BaseModel):
    """What one trial was measured to need."""

    model_config = ConfigDict(frozen=True)

    train_seconds: float
    """Seconds of training in one epoch."""
    evaluate_seconds: float
    """Seconds of ranking in one epoch; 0 for other trainers than `mmsr.training.train`, which are
    timed as a whole."""
    share: float
    """Share of the epoch's training steps that was run; the rest is extrapolated."""
    memory: int
    """Peak resident memory in bytes, mapped files and libraries included."""
    device_memory: int | None = None
    """Peak memory on the CUDA device in bytes; None on a CPU."""
    device_total: int | None = None
    """Memory that the CUDA device has, in bytes; None on a CPU."""

    @property
    def epoch_seconds(self) -> float:
        """Seconds of one epoch, ranking included."""
        return self.train_seconds + self.evaluate_seconds


@dataclass(frozen=True)
class Probe:
    """One measurement."""

    plan: Plan
    config: Config | None
    """The config to measure; None takes the most demanding one of the space."""
    gpu: float = 0.0
    """GPUs that the measured trial gets."""

    def known(self) -> Measured | None:
        """What an earlier call has measured; None if nothing."""
        try:
            return Measured.model_validate_json(self._file.read_text())
        except (OSError, ValidationError):
            return None

    def measure(self, say: Callable[[str], object]) -> Measured:
        """Measure, or return what was measured before; on a cluster, Ray must be running.

        Parameters
        ----------
        say : called with a message if the cluster is full and measuring has to wait.

        Raises
        ------
        UserError : such a trial does not run; says why.
        """
        if (found := self.known()) is not None:
            return found
        found = self._new(say)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(found.model_dump_json())
        except OSError:
            pass  # then the next call measures again
        return found

    def _new(self, say: Callable[[str], object]) -> Measured:
        plan = self.plan
        wanted = Resources(gpu=self.gpu)
        if is_connected() and not is_free(wanted):
            say(f"no node has {wanted} free now: measuring waits until one has")
        task = Task(
            number=0,
            config=(self.config or plan.base).to_dict(),
            dataset_hash=plan.dataset.content_hash,
            device="cuda" if self.gpu else "cpu",
            home=plan.site.home,
            trainer=plan.trainer,
        )
        space = None if self.config else plan.space
        if space is not None:
            task = task.model_copy(update={"config": self._elsewhere(_find, task, space)})
        return Measured.model_validate(self._elsewhere(_measure, task, _SECONDS))

    def _elsewhere(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns in a separate process; an error there becomes one line here."""
        run = _on_ray if is_connected() else _here
        try:
            return run(self.gpu, function, *arguments)
        except _WorkerFailed as error:
            which = "the known" if self.config else "the most demanding"
            raise UserError(f"measuring one trial of {which} settings failed: {error}") from None

    @property
    def _file(self) -> Path:
        plan = self.plan
        what = {
            "config": self.config.to_dict() if self.config else plan.base.to_dict(),
            "space": None if self.config else plan.definition.space,
            "data": plan.dataset.content_hash,
            "trainer": plan.trainer,
            "code": code_version(),
            "place": plan.address or address_of_others() or socket.gethostname(),
            "gpu": bool(self.gpu),
        }
        key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        return paths.home() / "cache" / "measured" / f"{key[:32]}.json"


class _WorkerFailed(Exception):
    """What went wrong in the other process, in one line."""


def _on_ray(gpu: float, function: Callable[..., Any], *arguments: Any) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError

    remote = ray.remote(num_cpus=1, num_gpus=gpu, max_calls=1, max_retries=0)(function)
    try:
        return ray.get(remote.remote(*arguments))
    except RayTaskError as error:
        raise _WorkerFailed(_in_words(error.cause or error)) from None
    except RayError as error:
        raise _WorkerFailed(f"its worker died ({_first_line(error)})") from None


def _here(gpu: float, function: Callable[..., Any], *arguments: Any) -> Any:
    # Spawned, not forked: a fork would start with this process's memory.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise _WorkerFailed("its process died, perhaps for lack of memory") from None
        except Exception as error:
            raise _WorkerFailed(_in_words(error)) from None


def _in_words(error: BaseException) -> str:
    told = _first_line(error)
    return told if isinstance(error, UserError) else f"{type(error).__name__}: {told}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _find(task: Task, space: Any) -> dict[str, Any]:
    """In a worker: the most demanding config of the space."""
    from mmsr.data.closed import enter_trial
    from mmsr.study.sizing.worst_case import most_demanding
    from mmsr.study.workers.trial import open_dataset

    enter_trial("the search for the most demanding config")  # it builds models of others, too
    os.environ["MMSR_HOME"] = task.home
    config = Config.from_dict(task.config)
    dataset = open_dataset(config.dataset, task.dataset_hash, task.home)
    return most_demanding(space, config, dataset).to_dict()


def _measure(task: Task, seconds: float) -> dict[str, Any]:
    """In a worker: run a part of an epoch, or one epoch of a trainer that is not ours."""
    import torch

    from mmsr.data.closed import enter_trial
    from mmsr.study.workers.trial import open_dataset
    from mmsr.training.sample import sample_epoch

    enter_trial("the measuring of a trial")
    os.environ["MMSR_HOME"] = task.home
    config = Config.from_dict(task.config)
    dataset = open_dataset(config.dataset, task.dataset_hash, task.home)
    if task.trainer == TRAINER:
        cost = sample_epoch(config, dataset, task.device, seconds)
    else:
        cost = _whole_epoch(task, config, dataset)
    on_device = cost.device_memory is not None
    total = torch.cuda.mem_get_info()[1] if on_device else None
    return {**cost.model_dump(), "device_total": total}


def _whole_epoch(task: Task, config: Config, dataset: Any) -> SampleCost:
    """One epoch of any trainer, measured by the clock."""
    from mmsr.study.workers.trial import load_trainer
    from mmsr.training.sample import SampleCost, peak_device_memory, peak_memory

    started = time.perf_counter()
    next(iter(load_trainer(task.trainer)(config, dataset, device=task.device, resume=None)))
    return SampleCost(
        train_seconds=time.perf_counter() - started,
        evaluate_seconds=0.0,
        share=1.0,
        memory=peak_memory(),
        device_memory=peak_device_memory(task.device),
    )

"""Runs of many sleeping trials, by `mmsr` and by plain Ray Tune, and the times they left."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import common
import sleeping

from mmsr.study.workers.cluster import cores


@dataclass
class Run:
    """What one run of many trials left."""

    seconds: float
    """All of it."""
    clocks: dict[str, dict[str, float]]
    """By trial: process, begin and end, as the workers noted them."""
    proposed: dict[str, float] = field(default_factory=dict)
    """By trial: when it was proposed; nothing for plain Ray Tune."""
    ended: list[float] = field(default_factory=list)
    """When the storage had the end of each trial, sorted."""
    samples: list[tuple[float, float, float]] = field(default_factory=list)
    """Time, processor seconds and resident MB of the driver."""

    def cycles(self) -> tuple[float, int]:
        """Seconds that slots took from the end of their first trial to that of the last, and the
        number of trials in these.
        """
        slots = self._slots()
        return sum(slot[-1][1] - slot[0][1] for slot in slots), sum(len(slot) - 1 for slot in slots)

    def gaps(self) -> list[float]:
        """Seconds from the end of a trial to the begin of the next of its slot."""
        return [after[0] - before[1] for slot in self._slots() for before, after in pairwise(slot)]

    def starts(self) -> list[float]:
        """Seconds from proposal to first step, of trials in a process that had run another."""
        by_process = defaultdict(list)
        for trial, clock in self.clocks.items():
            by_process[clock["process"]].append((clock["begun"], self.proposed[trial]))
        return [
            begun - proposed
            for process in by_process.values()
            for begun, proposed in sorted(process)[1:]
        ]

    def _slots(self) -> list[list[tuple[float, float]]]:
        by_process = defaultdict(list)
        for clock in self.clocks.values():
            by_process[clock["process"]].append((clock["begun"], clock["ended"]))
        return [sorted(trials) for trials in by_process.values()]


def run_study(
    home: Path, n: int, slots: int, epochs: int, epoch_seconds: float, **more: Any
) -> Run:
    """Run a study of sleeping trials, in this process."""
    from mmsr.study import Study

    study = Study(
        dataset="demo",
        name=f"overhead-{slots}-{n}",
        trials=n,
        epochs=epochs,
        resources={"cpu": _cpu(slots)},
        trainer="sleeping:sleep",
        **more,
    )
    return _run(study, home, epoch_seconds)


def run_demo(home: Path, n: int) -> Run:
    """Run the demo study for real, two epochs a trial."""
    study = runpy.run_path(str(common.ROOT / "studies" / "demo.py"))["study"]
    study = replace(
        study, name="overhead-start", trials=n, epochs=2, pruner=None, trainer="sleeping:train"
    )
    return _run(study, home, 0.0)


def run_plain(home: Path, n: int, slots: int, epochs: int, epoch_seconds: float) -> Run:
    """Run as many sleeping trials by plain Ray Tune, in this process."""
    import ray
    from ray import tune

    started = time.time()
    with _clocks(home, epoch_seconds) as clocks, _sampled() as samples:
        ray.init("local", num_cpus=cores(), include_dashboard=False, log_to_driver=False)
        tune.Tuner(
            tune.with_resources(sleeping.sleep_plainly, {"cpu": _cpu(slots)}),
            param_space={"epochs": epochs, "model.dropout": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(num_samples=n, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=str(home / "plain"),
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(num_to_keep=2),
            ),
        ).fit()
        ray.shutdown()
        seconds = time.time() - started
        found = _read(clocks)
    ended = sorted(clock["ended"] for clock in found.values())
    return Run(seconds, found, ended=ended, samples=samples)


def refused_seconds(home: Path) -> float:
    """How long a study takes to be refused that asks for more GPUs than any node has."""
    from ray.cluster_utils import Cluster

    script = home / "refused.py"
    script.write_text(
        "import dataclasses, runpy\n"
        f"study = runpy.run_path({str(common.ROOT / 'studies' / 'demo.py')!r})['study']\n"
        "dataclasses.replace(study, resources={'cpu': 1, 'gpu': 3}).main()\n"
    )
    node = {"num_cpus": 4, "num_gpus": 2, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        command = [sys.executable, str(script), "--address", cluster.address]
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - begun
    finally:
        cluster.shutdown()
    if done.returncode != 2 or "no node of the cluster has that" not in done.stderr:
        raise SystemExit(f"it was not refused: {done.stdout}{done.stderr}")
    return seconds


def _run(study: Any, home: Path, epoch_seconds: float) -> Run:
    from mmsr.study.main import execute
    from mmsr.study.planning.declaration import Options
    from mmsr.study.storage.database import default_storage, load_study, open_storage

    started = time.time()
    with _clocks(home, epoch_seconds) as clocks, _sampled() as samples:
        if code := execute(study, Options()):
            raise SystemExit(f"study {study.name} ended with code {code}")
        seconds = time.time() - started
        found = _read(clocks)
    known = load_study(open_storage(default_storage()), study.name)
    assert known is not None
    over = [trial for trial in known.trials if trial.user_attrs.get("ray_trial_id") in found]
    return Run(
        seconds,
        found,
        {trial.user_attrs["ray_trial_id"]: trial.datetime_start.timestamp() for trial in over},
        sorted(trial.datetime_complete.timestamp() for trial in over),
        samples,
    )


@contextmanager
def _clocks(home: Path, epoch_seconds: float) -> Iterator[Path]:
    """A folder where the workers note their times."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        os.environ[sleeping.CLOCKS] = folder
        os.environ[sleeping.EPOCH_SECONDS] = str(epoch_seconds)
        yield Path(folder)


def _read(clocks: Path) -> dict[str, dict[str, float]]:
    lines = [json.loads(path.read_text()) for path in clocks.iterdir()]
    return {line.pop("trial"): line for line in lines}


@contextmanager
def _sampled(every: float = 0.5) -> Iterator[list[tuple[float, float, float]]]:
    """Look at this process's time and memory, from another thread."""
    samples: list[tuple[float, float, float]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(every):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
            samples.append((time.time(), time.process_time(), megabytes))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _cpu(slots: int) -> float:
    return cores() / slots

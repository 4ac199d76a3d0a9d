"""What tests of studies share: a fake training function, and a small study of `shop`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmsr.study import Float, Halving, Int, Study

FAKE_TRAINING = '''
"""Training that takes no time: the objective follows from the config, and all epochs are logged."""

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

METRICS = [f"valid/{m}@{k}" for m in ("hr", "mrr", "ndcg") for k in (5, 10, 20)]


def value_of(config, epoch):
    """Better with more width, less so at first; in [0, 1]."""
    return config.model.width / 1000 * (1 - 0.5**epoch)


@dataclass
class Result:
    epoch: int
    metrics: dict
    best_epoch: int
    best_metrics: dict
    finished: bool

    def save_checkpoint(self, folder):
        if self.epoch == 2 and os.path.exists(os.environ.get("FAKE_FULL", "")):
            raise OSError(28, os.strerror(28))
        folder.mkdir(parents=True)
        (folder / "state.json").write_text(json.dumps({"epoch": self.epoch}))
        (folder / "best.safetensors").write_bytes(b"weights")


def train(config, dataset, *, device="auto", resume=None, **_):
    width = config.model.width
    done = json.loads((Path(resume) / "state.json").read_text())["epoch"] if resume else 0
    for epoch in range(done + 1, config.training.epochs + 1):
        if width == 13:
            raise ValueError(f"width 13 brings bad luck, attempt {os.getpid()}")
        time.sleep(float(os.environ.get("FAKE_EPOCH_SECONDS", "0")))
        if width == 14 and epoch == 2 and not resume:
            os.kill(os.getpid(), 9)
        if width == 17 or (width == 16 and epoch == 2 and not resume):
            raise MemoryError(f"no room for {width} in process {os.getpid()}")
        if width == 18 and epoch == 2:
            time.sleep(1000)
        if width == 19 and epoch == done + 2:
            os.kill(os.getpid(), 9)
        value = math.nan if width == 15 else value_of(config, epoch)
        metrics = dict.fromkeys(METRICS, value) | {"train/loss": 1 / epoch}
        if "FAKE_LOG" in os.environ:
            with open(os.environ["FAKE_LOG"], "a") as log:
                log.write(f"{width} {epoch}\\n")
        yield Result(epoch, metrics, epoch, metrics, epoch == config.training.epochs)
'''


@pytest.fixture
def study_home(shop_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `$MMSR_HOME` with the data set `shop`, which a test may change."""
    home = tmp_path / "home"
    shutil.copytree(shop_home / "datasets", home / "datasets")
    monkeypatch.setenv("MMSR_HOME", str(home))
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(scope="session")
def fake_training_code() -> str:
    """Source of the module `fake_training`, whose `train` takes no time."""
    return FAKE_TRAINING


@pytest.fixture
def small_study() -> Study:
    """A study that trains for real, in seconds."""
    return Study(
        dataset="shop",
        trials=4,
        epochs=3,
        space={
            "graph.n_codes": Int(4, 8, step=2),
            "graph.links_per_item": Int(1, 6),
            "training.learning_rate": Float(1e-3, 1e-1, log=True),
        },
        base={"model.width": 8, "training.batch_size": 32},
        enqueue=[
            {
                "graph.n_codes": 6,
                "graph.links_per_item": 2,
                "training.learning_rate": 1e-2,
            }
        ],
        pruner=Halving(first_rung=1, factor=2, startup_trials=2),
    )


class Driver:
    """Runs a study file by path, as a user does.

    Parameters
    ----------
    script : the study file.
    environment : environment of the process.
    """

    def __init__(self, script: Path, environment: dict[str, str]) -> None:
        self.script, self.environment = script, environment

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the study; its output goes to pipes."""
        return subprocess.Popen(
            [sys.executable, str(self.script), *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Run the study to its end; returns what it said."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in out + err
        return out, err


@pytest.fixture(scope="session")
def driver_class() -> type[Driver]:
    """`Driver`, for tests that cannot import this file."""
    return Driver


@pytest.fixture(scope="session")
def faked_place(
    shop_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., SimpleNamespace]:
    """Makes a home, a study file and its driver; the trials of `fake_training` log their epochs."""

    def make(name: str, text: str, **environment: str) -> SimpleNamespace:
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(shop_home / "datasets", folder / "home" / "datasets")
        (folder / "fake_training.py").write_text(FAKE_TRAINING)
        script = folder / f"{name}.py"
        script.write_text(text)
        path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
        place = SimpleNamespace(home=folder / "home", folder=folder, log=folder / "epochs.log")
        own = {"MMSR_HOME": str(place.home), "PYTHONPATH": path, "FAKE_LOG": str(place.log)}
        place.driver = Driver(script, {**os.environ, **own, **environment})
        return place

    return make


@pytest.fixture(scope="session")
def tracked_runs() -> Callable[[Path, str], list[Any]]:
    """Reads the trials' runs of a study in the local MLflow store."""

    def read(home: Path, experiment: str) -> list[Any]:
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
        found = client.get_experiment_by_name(experiment)
        only = "tags.`mmsr.kind` = 'trial'"
        return list(client.search_runs([found.experiment_id], only, max_results=500))

    return read

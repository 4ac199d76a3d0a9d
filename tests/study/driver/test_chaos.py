"""A cluster of several nodes in which anything dies at random; and one whose head dies."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows
from mmsr.training import train

pytestmark = pytest.mark.slow

SEED = 4
NODES, EPOCHS = 3, 6
SETTINGS = [
    {
        "graph.n_codes": (4, 6, 8)[i % 3],
        "model.width": (8, 16)[i % 2],
        "training.learning_rate": round(0.002 * 1.3**i, 6),
    }
    for i in range(16)
]
BASE = {"training.batch_size": 32, "training.patience": EPOCHS}
BLOWS = ["worker"] * 4 + ["driver"] * 2 + ["node"]

STUDY = f"""
from mmsr.study import Choice, Float, Int, Study

study = Study(
    dataset="shop",
    name="NAME",
    trials=len(SETTINGS),
    epochs={EPOCHS},
    space={{
        "graph.n_codes": Int(4, 8, step=2),
        "model.width": Choice(8, 16),
        "training.learning_rate": Float(1e-3, 1.0, log=True),
    }},
    base={BASE},
    enqueue=SETTINGS,
    pruner=None,
    trainer="logged_training:train_and_log",
)

if __name__ == "__main__":
    study.main()
"""

LOGGED_TRAINING = '''
"""The real training, slow enough to be hit in its middle; each epoch is logged."""

import os
import time

from mmsr.training import train


def train_and_log(config, dataset, **others):
    for result in train(config, dataset, **others):
        time.sleep(0.15)
        rate = config.training.learning_rate
        with open(os.environ["EPOCH_LOG"], "a") as log:
            log.write(f"{os.getpid()} {rate} {result.epoch}\\n")
        yield result
'''


class Place:
    """A home, a study file in it, and what its trials have logged."""

    def __init__(self, folder: Path, name: str, settings: list[dict], shop_home: Path) -> None:
        self.home, self.log, self.name = folder / "home", folder / "epochs.log", name
        shutil.copytree(shop_home / "datasets", self.home / "datasets")
        (folder / "logged_training.py").write_text(LOGGED_TRAINING)
        self.script = folder / f"{name}.py"
        self.script.write_text(STUDY.replace("NAME", name).replace("SETTINGS", repr(settings)))
        self.environment = {
            **os.environ,
            "MMSR_HOME": str(self.home),
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
            "EPOCH_LOG": str(self.log),
            "OMP_NUM_THREADS": "1",
        }

    def epochs(self) -> list[tuple[int, float, int]]:
        """Process, learning rate and epoch of every epoch trained, in order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(int(p), float(r), int(e)) for p, r, e in map(str.split, lines)]

    def wait_for_epochs(self, count: int, driver: subprocess.Popen) -> None:
        deadline = time.monotonic() + 240
        while len(self.epochs()) < count:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster_of(driver_class):
    """Starts a cluster on which a study of a place can be run."""

    @contextmanager
    def start(place: Place):
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nodes.py")), str(NODES)],
            env=place.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started = psutil.Process(process.pid)
        try:
            told = json.loads(process.stdout.readline())
            yield SimpleNamespace(
                process=process,
                **told,
                driver=driver_class(place.script, place.environment),
            )
        finally:
            everything = started.children(recursive=True)
            for child in psutil.Process().children():
                if str(place.script) in child.cmdline():  # a driver that a failed test has left
                    child.kill()
            process.stdin.close()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
            _, left = psutil.wait_procs(everything, timeout=5)
            for child in left:
                child.kill()

    return start


@pytest.fixture(scope="module")
def survived(shop_home, tmp_path_factory, cluster_of, put_store):
    """The study after many blows, struck at random moments."""
    place = Place(tmp_path_factory.mktemp("chaos"), "chaos", SETTINGS, shop_home)
    put_store(place.home / "mlflow.db")
    rng = random.Random(SEED)
    blows = rng.sample(BLOWS, len(BLOWS))
    # Between two blows, so many epochs are trained; the last falls well before the end.
    gaps = [rng.randint(6, 12) for _ in blows]
    hit: set[float] = set()
    with cluster_of(place) as cluster:
        driver = cluster.driver.start("--address", cluster.address)
        for blow, gap in zip(blows, gaps, strict=True):
            place.wait_for_epochs(len(place.epochs()) + gap, driver)
            if blow == "worker":
                kill_a_worker(place, rng, hit, driver)
            elif blow == "node":
                kill_a_node(cluster, rng)
            else:
                driver.kill()
                driver.communicate()
                driver = cluster.driver.start("--address", cluster.address)
        out, err = driver.communicate(timeout=400)
    return SimpleNamespace(place=place, out=out, err=err, code=driver.returncode)


def kill_a_worker(place, rng, hit, driver):
    """SIGKILL the worker of a trial that is running and was not hit before.

    A trial that loses its worker three times is given up, and the node takes some too.
    """
    candidates: dict[int, float] = {}
    while not candidates:
        now = {pid: (rate, epoch) for pid, rate, epoch in place.epochs()}
        candidates = {
            pid: rate
            for pid, (rate, epoch) in now.items()
            if epoch < EPOCHS and rate not in hit and psutil.pid_exists(pid)
        }
        if not candidates:
            place.wait_for_epochs(len(place.epochs()) + 1, driver)
    pid = rng.choice(sorted(candidates))
    hit.add(candidates[pid])
    os.kill(pid, signal.SIGKILL)


def kill_a_node(cluster, rng):
    """SIGKILL a node, whose workers go with it; another takes its place."""
    os.kill(cluster.nodes.pop(rng.randrange(NODES)), signal.SIGKILL)
    cluster.process.stdin.write("add\n")
    cluster.process.stdin.flush()
    cluster.nodes.append(json.loads(cluster.process.stdout.readline())["node"])


@pytest.fixture
def known(survived, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(survived.place.home))
    return look_up("chaos")


def test_the_study_comes_to_its_end(survived):
    assert survived.code == 0, survived.out + survived.err
    assert "study chaos: 16 finished\n" in survived.out
    assert "Traceback" not in survived.out + survived.err


def test_optuna_has_every_trial_once(known):
    found = rows(known.study)
    assert [row.state for row in found] == ["finished"] * len(SETTINGS)
    rates = sorted(row.settings["training.learning_rate"] for row in found)
    assert rates == [settings["training.learning_rate"] for settings in SETTINGS]
    for row in found:
        assert sorted(known.study.trials[row.number].intermediate_values) == [*range(1, EPOCHS + 1)]


def test_rays_folder_has_every_trial_once(known, survived):
    folders = sorted((survived.place.home / "studies" / "chaos" / "ray").glob("trial-*"))
    numbers = [int(folder.name.removeprefix("trial-")) for folder in folders]
    assert set(numbers) <= {trial.number for trial in known.study.trials}
    reports = [
        (number, json.loads(file.read_text()))
        for number, folder in zip(numbers, folders, strict=True)
        for file in folder.glob("checkpoint_*/report.json")
    ]
    # A driver that is killed between a checkpoint and its report does not know of that epoch.
    reported = [known.study.trials[number].intermediate_values for number, _ in reports]
    ended = Counter(
        heir(known.study, number)
        for (number, report), curve in zip(reports, reported, strict=True)
        if report["finished"] and report["epoch"] in curve
    )
    assert ended == Counter(row.number for row in rows(known.study))


def heir(study, number):
    """The last of those that have taken a trial's place; itself if there is none."""
    after = {trial.user_attrs.get("retry_of"): trial.number for trial in study.trials}
    while number in after:
        number = after[number]
    return number


def test_mlflow_has_every_trial_once(known, survived, tracked_runs):
    runs = tracked_runs(survived.place.home, "chaos")
    assert Counter(int(run.data.tags["mmsr.optuna_number"]) for run in runs) == Counter(
        row.number for row in rows(known.study)
    )
    assert {run.info.status for run in runs} == {"FINISHED"}
    by_number = {int(run.data.tags["mmsr.optuna_number"]): run for run in runs}
    for row in rows(known.study):
        best = by_number[row.number].data.metrics["best/valid/mrr_at_20"]
        assert best == row.metrics["valid/mrr@20"]


def test_metrics_are_those_of_training_undisturbed(known, shop_home, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(shop_home))
    dataset = Dataset.open("shop")
    for row in rows(known.study):
        config = Config(dataset="shop").replace(
            {**BASE, "training.epochs": EPOCHS, "training.threads": 1, **row.settings}
        )
        *_, last = train(config, dataset, device="cpu")
        quality = {k: v for k, v in last.best_metrics.items() if not k.startswith("time/")}
        assert {name: row.metrics[name] for name in quality} == quality, row.settings
        assert last.best_epoch == row.best_epoch


def test_no_epoch_is_trained_without_need(survived):
    trained = survived.place.epochs()
    # A blow costs a trial the epochs since its newest checkpoint that its driver has heard of.
    hit = sum(NODES if blow == "driver" else 1 for blow in BLOWS)
    assert len(SETTINGS) * EPOCHS <= len(trained) <= len(SETTINGS) * EPOCHS + 2 * hit
    ends = Counter(rate for _, rate, epoch in trained if epoch == EPOCHS)
    assert max(ends.values()) <= 2


def test_a_dead_head_is_told_and_the_study_goes_on_elsewhere(
    shop_home, tmp_path_factory, cluster_of, monkeypatch
):
    settings = SETTINGS[:6]
    place = Place(tmp_path_factory.mktemp("head"), "head", settings, shop_home)
    with cluster_of(place) as cluster:
        driver = cluster.driver.start("--address", cluster.address)
        place.wait_for_epochs(2 * EPOCHS, driver)
        os.kill(cluster.server, signal.SIGKILL)
        out, err = driver.communicate(timeout=100)
    assert driver.returncode == 1, out + err
    assert "the same command resumes the study" in out + err
    assert "Traceback" not in out + err
    before = len(place.epochs())
    with cluster_of(place) as cluster:
        out, err = cluster.driver.run("--address", cluster.address)
    assert "study head: 6 finished\n" in out
    assert len(place.epochs()) - before < len(settings) * EPOCHS - 6
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    assert [row.state for row in rows(look_up("head").study)] == ["finished"] * len(settings)

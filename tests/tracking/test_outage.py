"""A study goes on while its tracking server is away, and nothing of it is missing afterwards.

The server runs on PostgreSQL, with artifacts in an S3 store behind it. It is killed in mid-study.

    pytest tests/tracking/test_outage.py --chaos-all

keeps it away for a minute, and compares the study with one whose server stays.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from mmsr.tracking.mlflow_place import metric_name

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

GROWTH = 0.05
"""Most by which an outage may lengthen a study, as a share."""
EPOCH_SECONDS, FIRST = 0.5, 5


def study(name, trials, epochs):
    """Text of a study file: two trials at a time, whose epochs only wait."""
    return f"""
import os

from mmsr.study import Int, Study

study = Study(
    dataset="shop",
    name="{name}",
    trials={trials},
    epochs={epochs},
    space={{"model.width": Int(20, 60)}},
    enqueue=[{{"model.width": 20 + number}} for number in range({trials})],
    pruner=None,
    resources={{"cpu": len(os.sched_getaffinity(0)) / 2}},
    trainer="fake_training:train",
)

if __name__ == "__main__":
    study.main()
"""


@pytest.fixture(scope="module")
def length(request):
    """Trials, epochs, and seconds of the outage."""
    whole = request.config.getoption("--chaos-all")
    return SimpleNamespace(
        trials=8, epochs=60 if whole else 12, away=60.0 if whole else 3.0, whole=whole
    )


class Running:
    """A study that a server tracks, and how long it takes from its first epochs to its last.

    Parameters
    ----------
    place : what `faked_place` has made.
    total : how many epochs it trains.
    """

    def __init__(self, place, total):
        self.place, self.process = place, place.driver.start()
        self._total, self._moments = total, []
        self._watch = threading.Thread(target=self._note_moments, daemon=True)
        self._watch.start()

    @property
    def epochs(self):
        """How many epochs were trained so far."""
        log = self.place.log
        return len(log.read_text().splitlines()) if log.exists() else 0

    def _note_moments(self):
        for wanted in (FIRST, self._total):
            while self.epochs < wanted and self.process.poll() is None:
                time.sleep(0.05)
            self._moments.append(time.monotonic())

    def wait_for_first(self):
        """Wait until its first epochs were trained."""
        deadline = time.monotonic() + 600
        while not self._moments:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert self.process.poll() is None, self.process.communicate()

    def end(self):
        """Wait for its end; returns what it said, and the seconds that it took."""
        out, err = self.process.communicate(timeout=900)
        assert self.process.returncode == 0, out + err
        self._watch.join()
        return out + err, self._moments[1] - self._moments[0]


@pytest.fixture(scope="module")
def begin(faked_place, tracking_server, length):
    """Starts a study that a server tracks; none outlives the tests."""
    begun = []

    def start(name, uri):
        user, password = tracking_server.user
        place = faked_place(
            name,
            study(name, length.trials, length.epochs),
            FAKE_EPOCH_SECONDS=str(EPOCH_SECONDS),
            MLFLOW_TRACKING_URI=uri,
            MLFLOW_TRACKING_USERNAME=user,
            MLFLOW_TRACKING_PASSWORD=password,
        )
        begun.append(Running(place, length.trials * length.epochs))
        return begun[-1]

    yield start
    for one in begun:
        one.process.kill()


@pytest.fixture(scope="module")
def outage(begin, tracking_server, length):
    """The study whose server was killed and started again.

    At full length, another one runs beside it, whose server stays: whatever else the machine does
    lengthens both.
    """
    server = tracking_server.another("outage")
    calm = None
    if length.whole:
        stays = tracking_server.another("calm")
        calm = begin("calm", stays.uri)
    hit = begin("outage", server.uri)
    hit.wait_for_first()
    before = hit.epochs
    server.kill()
    time.sleep(length.away)
    during = hit.epochs - before
    server.start()
    said, took = hit.end()
    if "to be sent" in said:  # a slow machine has started the server after the study's end
        command = [sys.executable, "-m", "mmsr.cli.app", "study", "sync", "outage"]
        subprocess.run(command, env=hit.place.driver.environment, check=True)
    calmly = calm and calm.end()[1]
    return SimpleNamespace(said=said, took=took, during=during, calm=calmly, uri=server.uri)


@pytest.fixture
def client(outage, as_user):
    from mlflow import MlflowClient

    return MlflowClient(outage.uri)


def test_the_study_does_not_wait(outage, length):
    assert "the server is away" in outage.said
    assert re.search("the server is back|waits? to be sent", outage.said)
    assert outage.during > length.away / EPOCH_SECONDS  # two trials at a time: half of what is due
    if length.whole:
        print(f"\n{outage.calm:.1f} s without the outage, {outage.took:.1f} s with it")
        assert outage.took < outage.calm * (1 + GROWTH)


def test_every_epoch_of_every_trial_is_there_once(outage, client, length):
    found = client.get_experiment_by_name("outage")
    runs = client.search_runs([found.experiment_id], "tags.`mmsr.kind` = 'trial'")
    assert len(runs) == length.trials
    assert {one.info.status for one in runs} == {"FINISHED"}
    widths = Counter(int(one.data.params["model.width"]) for one in runs)
    assert widths == Counter(range(20, 20 + length.trials))
    for one in runs:
        for name in ("valid/mrr@20", "train/loss", "best/valid/mrr@20"):
            history = client.get_metric_history(one.info.run_id, metric_name(name))
            assert sorted(each.step for each in history) == list(range(1, length.epochs + 1))


def test_models_came_through_the_server_into_the_store(outage, client, tracking_server, tmp_path):
    found = client.get_experiment_by_name("outage")
    (one, *_) = client.search_runs([found.experiment_id], "tags.`mmsr.kind` = 'trial'")
    assert one.info.artifact_uri.startswith("mlflow-artifacts:/")
    names = {file.path for file in client.list_artifacts(one.info.run_id)}
    assert "best.safetensors" in names
    local = client.download_artifacts(one.info.run_id, "best.safetensors", str(tmp_path))
    key = f"artifacts/{found.experiment_id}/{one.info.run_id}/artifacts/best.safetensors"
    stored = tracking_server.store.get_object(Bucket=tracking_server.bucket, Key=key)
    with open(local, "rb") as file:
        assert file.read() == stored["Body"].read() == b"weights"

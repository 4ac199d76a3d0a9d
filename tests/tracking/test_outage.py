"""A study goes on while its tracking server is away, and nothing of it is missing afterwards.

The server runs on PostgreSQL, with artifacts in an S3 store behind it. It is killed in mid-study.

    pytest tests/tracking/test_outage.py --chaos-all

keeps it away for a minute, and compares the study with one whose server stays.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from mmsr.tracking.mlflow_place import metric_name

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

GROWTH = 0.05
"""Most by which an outage may lengthen a study, as a share."""
EPOCH_SECONDS = 0.5


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


@pytest.fixture(scope="module")
def run(faked_place, tracking_server, length):
    """Runs a study that the server tracks; `meanwhile` is called after its first epochs."""

    def start(name, meanwhile):
        place = faked_place(
            name,
            study(name, length.trials, length.epochs),
            FAKE_EPOCH_SECONDS=str(EPOCH_SECONDS),
            MLFLOW_TRACKING_URI=tracking_server.server.uri,
            MLFLOW_TRACKING_USERNAME=tracking_server.user[0],
            MLFLOW_TRACKING_PASSWORD=tracking_server.user[1],
        )
        process = place.driver.start()
        try:
            wait_for_epochs(place, 5, process)
            began = time.monotonic()
            meanwhile(place)
            wait_for_epochs(place, length.trials * length.epochs, process)
            took = time.monotonic() - began
            out, err = process.communicate(timeout=600)
        finally:
            process.kill()
        assert process.returncode == 0, out + err
        return SimpleNamespace(place=place, said=out + err, took=took)

    return start


def epochs_of(place):
    """How many epochs were trained so far."""
    return len(place.log.read_text().splitlines()) if place.log.exists() else 0


def wait_for_epochs(place, wanted, process):
    deadline = time.monotonic() + 900
    while epochs_of(place) < wanted:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def outage(run, tracking_server, length):
    """The study whose server was killed and started again, and the epochs trained meanwhile."""
    during = []

    def kill_and_start(place):
        before = epochs_of(place)
        tracking_server.server.kill()
        time.sleep(length.away)
        during.append(epochs_of(place) - before)
        tracking_server.server.start()

    done = run("outage", kill_and_start)
    if "to be sent" in done.said:  # a slow machine has started the server after the study's end
        command = [sys.executable, "-m", "mmsr.cli.app", "study", "sync", "outage"]
        subprocess.run(command, env=done.place.driver.environment, check=True)
    return SimpleNamespace(during=during, **vars(done))


@pytest.fixture
def client(as_user):
    from mlflow import MlflowClient

    return MlflowClient(as_user)


def test_the_study_does_not_wait(outage, run, length):
    assert "the server is away" in outage.said
    assert re.search("the server is back|waits? to be sent", outage.said)
    wanted = length.away / EPOCH_SECONDS * 2  # two trials at a time
    assert outage.during[0] > wanted / 2
    if length.whole:
        calm = run("calm", lambda _: None)
        print(f"\n{calm.took:.1f} s without the outage, {outage.took:.1f} s with it")
        assert outage.took < calm.took * (1 + GROWTH)


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

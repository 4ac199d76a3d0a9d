"""A study whose home is in an object store goes on on another machine, which has nothing of it."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import psutil
import pytest

from mmsr.data import Sources, prepare
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows

pytestmark = pytest.mark.slow

EPOCHS = 5
STUDY = f"""
from mmsr.study import Int, Study

study = Study(
    dataset="shop",
    name="far",
    trials=3,
    epochs={EPOCHS},
    space={{"model.width": Int(10, 60)}},
    enqueue=[{{"model.width": width}} for width in (20, 30, 40)],
    pruner=None,
    trainer="fake_training:train",
)

if __name__ == "__main__":
    study.main()
"""


@pytest.fixture
def driver(bucket, tmp_path, shop_tables, monkeypatch, fake_training_code, driver_class):
    """A driver on a machine of a given name; the data set was imported on a laptop."""
    monkeypatch.setenv("MMSR_HOME", bucket)
    monkeypatch.setenv("MMSR_STORAGE", f"sqlite:///{tmp_path}/optuna.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MMSR_COPIES", str(tmp_path / "laptop"))
    interactions, features = shop_tables
    prepare("shop", Sources(interactions=interactions, features=features))
    (tmp_path / "fake_training.py").write_text(fake_training_code)
    script = tmp_path / "far.py"
    script.write_text(STUDY)

    def on(machine):
        monkeypatch.setenv("MMSR_COPIES", str(tmp_path / machine))
        return driver_class(
            script,
            {
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
                "FAKE_LOG": str(tmp_path / "epochs.log"),
                "FAKE_EPOCH_SECONDS": "0.3",
            },
        )

    return on


def test_another_machine_goes_on(driver, tmp_path, tracked_runs):
    process = driver("first").start()
    children = psutil.Process(process.pid)
    log = tmp_path / "epochs.log"
    deadline = time.monotonic() + 200
    while not log.exists() or len(log.read_text().splitlines()) < EPOCHS + 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started = children.children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for child in psutil.wait_procs(started, timeout=30)[1]:
        child.kill()

    second = driver("second")
    out, _ = second.run()
    assert "resumes from its last checkpoint" in out or "resume from their last checkpoint" in out
    found = rows(look_up("far").study)
    assert [row.state for row in found] == ["finished"] * 3, [row.error for row in found]
    trained = Counter(tuple(line.split()) for line in log.read_text().splitlines())
    assert {epoch for _, epoch in trained} == {str(epoch) for epoch in range(1, EPOCHS + 1)}
    # Both machines have two cores at most: of two trials no more than two epochs each run again.
    assert 3 * EPOCHS <= sum(trained.values()) <= 3 * EPOCHS + 2 * (os.cpu_count() or 1)
    assert all(count == 1 for (_, epoch), count in trained.items() if epoch == "1")
    runs = tracked_runs(tmp_path, "far")
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 3

    copies = tmp_path / "second"
    kept = [path.name for path in copies.rglob("checkpoint_*")]
    assert kept == [], "checkpoints are in the object store alone"
    assert not list(copies.rglob("test.arrow"))
    out, _ = driver("third").run_here()
    assert "nothing to do" in out

"""A study whose driver was killed has the results of one that was left alone, to the last bit."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows

pytestmark = pytest.mark.slow

STUDY = """
from mmsr.study import Choice, Float, Int, Study

SETTINGS = [(4, 8, 0.01, "adaptive"), (6, 16, 0.03, "early"), (8, 8, 0.003, "adaptive"),
            (4, 16, 0.1, "late"), (6, 8, 0.02, "adaptive")]
KEYS = ("graph.n_codes", "model.width", "training.learning_rate", "model.fusion")

study = Study(
    dataset="shop",
    name="small",
    trials=len(SETTINGS),
    epochs=8,
    space={
        "graph.n_codes": Int(4, 8, step=2),
        "model.width": Choice(8, 16),
        "training.learning_rate": Float(1e-3, 1e-1, log=True),
        "model.fusion": Choice("adaptive", "early", "late"),
    },
    base={"training.batch_size": 32, "training.patience": 8},
    enqueue=[dict(zip(KEYS, settings)) for settings in SETTINGS],
    pruner=None,
)

if __name__ == "__main__":
    study.main()
"""
KILL_AT = (2, 3)
"""Place of the trial and its epoch after which the driver is killed."""


@pytest.fixture(scope="module")
def run_study(shop_home, tmp_path_factory, driver_class, put_store):
    """Run the study in a home of its own, perhaps killed and run again; returns the home."""

    def run(kill_at: tuple[int, int] | None) -> Path:
        folder = tmp_path_factory.mktemp("resume")
        home = folder / "home"
        shutil.copytree(shop_home / "datasets", home / "datasets")
        put_store(home / "mlflow.db")
        script = folder / "small.py"
        script.write_text(STUDY)
        driver = driver_class(script, {**os.environ, "MMSR_HOME": str(home)})
        if kill_at is not None:
            process = driver.start()
            wait_for_epoch(home, *kill_at, process)
            kill_with_children(process)
        driver.run()
        return home

    return run


def wait_for_epoch(home, place, epoch, process):
    """Wait for the checkpoint of an epoch of the `place`th trial that was begun."""
    deadline = time.monotonic() + 180
    while True:
        begun = sorted((home / "studies" / "small" / "ray").glob("trial-*"))
        reports = begun[place].glob("checkpoint_*/report.json") if len(begun) > place else ()
        if any(epoch_of(path) >= epoch for path in reports):
            return
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def epoch_of(path):
    """Epoch of a checkpoint; 0 while it is being written or removed."""
    try:
        return json.loads(path.read_text())["epoch"]
    except (OSError, ValueError):
        return 0


def kill_with_children(process):
    """SIGKILL the driver alone, and wait until all that it started is gone."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=60)
    _, left = psutil.wait_procs(children, timeout=30)
    for child in left:
        child.kill()


@pytest.fixture(scope="module")
def runs(run_study):
    """Homes of the study, left alone and killed."""
    return SimpleNamespace(alone=run_study(None), killed=run_study(KILL_AT))


@pytest.fixture
def outcomes(runs, monkeypatch):
    """What each trial came to, by its settings, without times; and the study itself."""

    def read(home):
        monkeypatch.setenv("MMSR_HOME", str(home))
        study = look_up("small").study
        found = {
            json.dumps(row.settings, sort_keys=True): {
                "state": row.state,
                "value": row.value,
                "epochs": (row.epochs, row.best_epoch),
                "metrics": {k: v for k, v in row.metrics.items() if not k.startswith("time/")},
                "curve": study.trials[row.number].intermediate_values,
            }
            for row in rows(study)
        }
        return study, found

    return {"alone": read(runs.alone), "killed": read(runs.killed)}


def test_the_killed_study_was_cut_off_in_the_middle_of_trials(outcomes):
    study, _ = outcomes["killed"]
    followed = [study.trials[t.user_attrs["retry_of"]] for t in study.trials if is_retry(t)]
    epochs = [len(trial.intermediate_values) for trial in followed]
    assert any(1 < count < 8 for count in epochs), "a trial had epochs behind it and before it"
    alone, _ = outcomes["alone"]
    assert not any(map(is_retry, alone.trials))


def is_retry(trial):
    return trial.user_attrs.get("retry_of") is not None


def test_every_trial_came_to_the_same(outcomes):
    _, alone = outcomes["alone"]
    _, killed = outcomes["killed"]
    assert len(alone) == 5
    assert {outcome["state"] for outcome in alone.values()} == {"finished"}
    assert len({outcome["value"] for outcome in alone.values()}) > 1
    assert killed == alone


def test_mlflow_tells_the_same(runs, tracked_runs):
    def told(home):
        return {
            json.dumps(run.data.params, sort_keys=True): {
                name: value
                for name, value in run.data.metrics.items()
                if not name.startswith(("time/", "system/"))
            }
            for run in tracked_runs(home, "small")
        }

    alone, killed = told(runs.alone), told(runs.killed)
    assert len(alone) == 5
    assert killed == alone

"""A study that an older mmsr began, and that was killed, is finished by this one.

`assets/interrupted-study.tar.gz` is the home of such a study, as commit e107f09 left it at
`/srv/mmsr`: two of four trials had finished when its driver was killed, at the end of the third
epoch of the next. Left out are Ray's own snapshots, which nobody reads.
"""

from __future__ import annotations

import os
import sqlite3
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmsr.data import Dataset
from mmsr.study.storage.attributes import config_of, predecessor
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows

pytestmark = pytest.mark.slow

ASSET = Path(__file__).parents[2] / "assets" / "interrupted-study.tar.gz"
LEFT_AT = "/srv/mmsr"
KEPT = "model.aggregator.heterogeneous_slope=1.0"
FITTED = "graph.fitted_on=all"
"""What codes were fitted on before there was this key."""
SHARED = "model.aggregator.share_qkv=true"
"""What dual attention had before it got this knob."""
FINISHED = {0: 0.5276202205824055, 1: 0.5994146418898139}
"""Value of each trial that had finished, by its number."""

STUDY = """
from mmsr.study import Float, Int, Study

study = Study(
    dataset="shop",
    name="before",
    trials=4,
    epochs=8,
    space={
        "graph.n_codes": Int(4, 8, step=2),
        "training.learning_rate": Float(1e-3, 1e-1, log=True),
    },
    base={"model.width": 8, "training.batch_size": 32, "training.patience": 8},
    enqueue=[
        {"graph.n_codes": codes, "training.learning_rate": rate}
        for codes, rate in ((4, 0.01), (6, 0.03), (8, 0.003), (4, 0.1))
    ],
    resources={"cpu": 2},
    pruner=None,
)

if __name__ == "__main__":
    study.main()
"""


def moved(home: Path) -> None:
    """Tell the study's record and MLflow's database that they lie in another folder now."""
    record = home / "studies" / "before" / "study.json"
    record.write_text(record.read_text().replace(LEFT_AT, str(home)))
    with sqlite3.connect(home / "mlflow.db") as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (LEFT_AT, str(home))
            )


@pytest.fixture(scope="module")
def place(tmp_path_factory, driver_class):
    """The home before and after the same command was given again."""
    folder = tmp_path_factory.mktemp("older")
    home = folder / "home"
    with tarfile.open(ASSET) as archive:
        archive.extractall(home, filter="data")
    moved(home)
    script = folder / "before.py"
    script.write_text(STUDY)
    environment = {**os.environ, "MMSR_HOME": str(home)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(home))
        before = look_up("before")
        states = [row.state for row in rows(before.study)]
        curve = dict(before.study.trials[2].intermediate_values)
        driver = driver_class(script, environment)
        _, refused = driver.run_here("--resume", code=2)
        out, _ = driver.run("--resume", "--set", KEPT, "--set", SHARED, "--set", FITTED)
        study = look_up("before").study
        yield SimpleNamespace(
            home=home,
            states=states,
            curve=curve,
            refused=refused,
            out=out,
            study=study,
        )


def test_it_was_interrupted_as_the_archive_says(place):
    assert place.states == ["finished", "finished", "running", "waiting"]
    assert list(place.curve) == [1, 2]


def test_it_is_refused_as_another_model_unless_that_is_set(place):
    assert "study 'before' exists with another definition" in place.refused
    assert f"(--set {FITTED} --set {SHARED} --set {KEPT} resumes it)" in place.refused
    assert len(place.refused.strip().splitlines()) == 1


def test_it_goes_on_and_ends(place):
    assert "study before exists: resuming, 2 of 4 trials done" in place.out
    assert "1 interrupted trial resumes from its last checkpoint" in place.out
    assert "4 finished" in place.out
    found = rows(place.study)
    assert [row.state for row in found] == ["finished"] * 4
    assert {row.number: row.value for row in found if row.number in FINISHED} == FINISHED


def test_the_interrupted_trial_kept_its_curve_and_its_config(place):
    (retried,) = [trial for trial in place.study.trials if predecessor(trial) is not None]
    assert predecessor(retried) == 2
    curve = retried.intermediate_values
    assert list(curve) == list(range(1, 9))
    assert {epoch: curve[epoch] for epoch in place.curve} == place.curve
    assert config_of(retried) == config_of(place.study.trials[2])
    older = place.study.trials[2].user_attrs["config"]["model"]["aggregator"]
    assert "heterogeneous_slope" not in older
    assert config_of(retried).model.aggregator.heterogeneous_slope == 1.0
    assert config_of(retried).graph.fitted_on == "all"


def test_its_data_and_its_runs_are_read_as_before(place, tracked_runs, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    hashes = {look_up("before").definition.dataset_hash, Dataset.open("shop").content_hash}
    assert len(hashes) == 1
    runs = tracked_runs(place.home, "before")
    assert sorted(run.info.status for run in runs) == ["FINISHED"] * 4
    epochs = {run.info.run_name: run.data.metrics["valid/mrr_at_20"] for run in runs}
    assert len(epochs) == 4

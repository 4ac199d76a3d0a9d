"""`mlflow/backup.py`: what it saves, restored elsewhere, is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmsr.tracking import RunState
from mmsr.tracking.base import DataUsed, Metrics, RunClosed, RunOpened, Upload
from mmsr.tracking.mlflow import MlflowSink

SCRIPT = Path(__file__).resolve().parents[2] / "mlflow" / "backup.py"
PLACES = {"MLFLOW_DATABASE": "postgresql://mlflow@127.0.0.1:9/mlflow", "MLFLOW_ARTIFACTS": "here"}


@pytest.fixture
def backup(tmp_path):
    """Runs the script; returns its exit code, what it said, and what it said of errors."""

    def run(*words, **places):
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **places}
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *map(str, words)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


def plain(url):
    """The URL as psycopg is given it."""
    return url.replace("+psycopg", "")


def contents(uri):
    """All experiments and runs of a store, with their whole history."""
    from mlflow import MlflowClient

    client, found = MlflowClient(uri), {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            histories = {
                name: [(each.step, each.value, each.timestamp) for each in history]
                for name in run.data.metrics
                if (history := client.get_metric_history(run.info.run_id, name))
            }
            found[experiment.name, run.info.run_id] = (run.to_dictionary(), histories)
    return found


def objects(store, bucket):
    """Contents of all objects of a bucket."""
    found = store.list_objects_v2(Bucket=bucket).get("Contents", [])
    names = [one["Key"] for one in found]
    return {name: store.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}


@pytest.mark.slow
def test_what_is_restored_elsewhere_is_the_same(tracking_server, as_user, backup, tmp_path):
    sink = MlflowSink(as_user, "kept", "uid")
    files = {"best.safetensors": b"weights" * 1000, "ä title.txt": "ä".encode()}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    sink.deliver(
        [
            RunOpened(key="study", time=1, name="study kept"),
            RunOpened(
                key="a",
                time=1,
                name="trial 0",
                parent="study",
                params={"width": "8"},
                data=DataUsed(name="shop", digest="0123", source="/shop"),
            ),
            *(Metrics(key="a", time=n, step=n, values={"loss": 1 / n}) for n in range(1, 30)),
            Upload(key="a", time=30, folder=str(tmp_path), names=list(files)),
            RunClosed(key="a", time=31, state=RunState.FINISHED),
        ],
        {},
    )
    import psycopg

    studies = tracking_server.new_database("studies")
    with psycopg.connect(plain(studies), autocommit=True) as connection:
        connection.execute("CREATE TABLE trials (number int)")
        connection.execute("INSERT INTO trials VALUES (7)")
    places = {**tracking_server.server.places, "MMSR_STORAGE": studies}
    folder = tmp_path / "backup"
    code, said, err = backup("save", folder, **places)
    assert (code, err) == (0, "")
    assert said.startswith(f"{folder}: mlflow, optuna, ")
    assert folder.stat().st_mode & 0o077 == 0
    assert backup("save", folder, **places)[0] == 2, "nothing is overwritten"

    code, _, err = backup("restore", folder, **places)
    assert code == 2
    assert "holds tables already" in err
    restored = tracking_server.new_database("restored")
    other = {**places, "MLFLOW_ARTIFACTS": "s3://elsewhere/artifacts", "MLFLOW_DATABASE": restored}
    tracking_server.store.create_bucket(Bucket="elsewhere")
    code, _, err = backup("restore", folder, **{**other, "MMSR_STORAGE": ""})
    assert code == 2
    assert "holds the database optuna: set MMSR_STORAGE" in err
    other["MMSR_STORAGE"] = tracking_server.new_database("studies_restored")
    code, said, err = backup("restore", folder, **other)
    assert (code, err) == (0, "")
    with psycopg.connect(plain(other["MMSR_STORAGE"])) as connection:
        assert connection.execute("SELECT number FROM trials").fetchall() == [(7,)]

    before = contents(tracking_server.url)
    names = {(experiment, run["info"]["run_name"]) for (experiment, _), (run, _) in before.items()}
    assert {("kept", "study kept"), ("kept", "trial 0")} <= names
    assert contents(restored) == before
    stored = objects(tracking_server.store, tracking_server.bucket)
    assert set(files.values()) <= set(stored.values())
    assert objects(tracking_server.store, "elsewhere") == stored


@pytest.mark.parametrize("words", [("save",), ("copy", "x")], ids=str)
def test_how_it_is_called(backup, words):
    code, _, err = backup(*words, **PLACES)
    assert code != 0
    assert "backup.py save FOLDER" in err


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"MLFLOW_DATABASE": ""}, "MLFLOW_DATABASE names no PostgreSQL database"),
        ({"MLFLOW_DATABASE": "sqlite:///mlflow.db"}, "sqlite3 mlflow.db '.backup COPY'"),
        ({"PATH": "/nowhere"}, "install PostgreSQL's client programs"),
        ({}, "pg_dump: "),
    ],
    ids=["nothing", "sqlite", "no program", "no server"],
)
def test_what_cannot_be_saved_leaves_no_backup(backup, tmp_path, changed, told):
    code, _, err = backup("save", tmp_path / "made", **{**PLACES, **changed})
    assert code == 2
    assert err.startswith("error: ")
    assert told in err
    assert not (tmp_path / "made").exists()


def test_a_password_is_not_among_the_arguments(backup, tmp_path):
    """Which every user of the machine can list."""
    (tmp_path / "pg_dump").write_text(f'#!/bin/sh\necho "$PGPASSWORD $@" >{tmp_path}/called\n')
    (tmp_path / "pg_dump").chmod(0o755)
    url = "postgresql+psycopg://mlflow:s3%2Fcret@db:5433/mlflow?sslmode=require"
    path = f"{tmp_path}:{os.environ['PATH']}"
    code, _, err = backup(
        "save", tmp_path / "made", **{**PLACES, "MLFLOW_DATABASE": url, "PATH": path}
    )
    assert (code, err) == (0, "")
    password, *arguments = (tmp_path / "called").read_text().split()
    assert password == "s3/cret"
    assert "--dbname=postgresql://mlflow@db:5433/mlflow?sslmode=require" in arguments
    assert "cret" not in " ".join(arguments)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "contents.json").unlink(), "holds no complete backup"),
        (lambda folder: (folder / "artifacts" / "1" / "model").unlink(), "is damaged"),
        (lambda folder: (folder / "artifacts" / "1" / "model").write_text("m"), "is damaged"),
    ],
    ids=["incomplete", "lacks a file", "cut off"],
)
def test_what_is_damaged_is_not_restored(backup, tmp_path, spoil, told):
    folder = tmp_path / "made"
    (folder / "artifacts" / "1").mkdir(parents=True)
    (folder / "artifacts" / "1" / "model").write_text("model")
    made = {"made": "today", "files": 1, "bytes": 5, "databases": ["mlflow"]}
    (folder / "contents.json").write_text(json.dumps(made))
    spoil(folder)
    code, _, err = backup("restore", folder, **PLACES)
    assert code == 2
    assert told in err

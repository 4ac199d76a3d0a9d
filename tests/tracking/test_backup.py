"""`mlflow/backup.py`: what it saves, restored elsewhere, is the same."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.error import HTTPError

import pytest

from mmsr.tracking import RunState
from mmsr.tracking.base import DataUsed, Metrics, RunClosed, RunOpened, Upload
from mmsr.tracking.mlflow import MlflowSink

SCRIPT = Path(__file__).resolve().parents[2] / "mlflow" / "backup.py"
PLACES = {"MLFLOW_DATABASE": "postgresql://mlflow@127.0.0.1:9/mlflow", "MLFLOW_ARTIFACTS": "here"}


@pytest.fixture
def backup(tmp_path):
    """Runs the script; returns its exit code, what it said, and what it said of errors."""
    (tmp_path / "here").mkdir()

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


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script as a module, where a server has stored two files; PostgreSQL is not called."""
    spec = importlib.util.spec_from_file_location("backup", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "run", lambda *_: None)
    monkeypatch.setattr(module, "tables_of", lambda *_: [])
    for name, value in {**PLACES, "MLFLOW_ARTIFACTS": str(tmp_path / "here")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MMSR_STORAGE", raising=False)
    (tmp_path / "here" / "1").mkdir(parents=True)
    for name in ("model", "other"):
        (tmp_path / "here" / "1" / name).write_text(name)
    return module


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
    from mlflow import MlflowClient

    sink, runs = MlflowSink(as_user, "kept", "uid"), {}
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
        runs,
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
    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    os.truncate(cut / "mlflow.dump", (cut / "mlflow.dump").stat().st_size - 100)
    code, _, err = backup("restore", cut, **other)
    assert code == 2
    assert "pg_restore: " in err
    assert objects(tracking_server.store, "elsewhere") == {}
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

    server = tracking_server.on("restored", other)
    user, password = tracking_server.user
    client = MlflowClient(f"http://{user}:{password}@{server.host}")
    (tmp_path / "loaded").mkdir()
    loaded = client.download_artifacts(runs["a"], "best.safetensors", str(tmp_path / "loaded"))
    assert Path(loaded).read_bytes() == files["best.safetensors"]
    with pytest.raises(HTTPError, match="401"):
        server.ask("/api/2.0/mlflow/experiments/get?experiment_id=0", user=(user, "wrong-012345"))


@pytest.mark.parametrize("words", [(), ("save",), ("copy", "x"), ("save", "a", "b")], ids=str)
def test_how_it_is_called(backup, words):
    code, said, err = backup(*words, **PLACES)
    assert (code, said) == (2, "")
    assert "backup.py save FOLDER" in err


def test_help(backup):
    code, said, err = backup("--help")
    assert (code, err) == (0, "")
    assert "backup.py save FOLDER" in said


def url(database):
    """Places with another database."""
    return {"MLFLOW_DATABASE": database}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (url(""), "MLFLOW_DATABASE names no PostgreSQL database"),
        (url("sqlite:///mlflow.db"), "sqlite3 mlflow.db '.backup COPY'"),
        (url("postgresql:mlflow"), "MLFLOW_DATABASE is no URL: write postgresql://USER@HOST/NAME"),
        (url("postgresql://u:cret@h:port/mlflow"), "MLFLOW_DATABASE is no URL"),
        (url("postgresql://u@h/mlflow?sslpassword=cret"), "use a key without one"),
        ({"MLFLOW_ARTIFACTS": ""}, "MLFLOW_ARTIFACTS is not set"),
        ({"MLFLOW_ARTIFACTS": "nowhere"}, "there are no files at "),
        ({"MLFLOW_ARTIFACTS": "wasbs://u:cret@store/x"}, "wasbs:// is not known here"),
        (
            {"MLFLOW_ARTIFACTS": "s3://b", "MLFLOW_S3_ENDPOINT_URL": "https://store/path"},
            "MLFLOW_S3_ENDPOINT_URL: write http://HOST:PORT",
        ),
        ({"PATH": "/nowhere"}, "install PostgreSQL's client programs"),
    ],
)
def test_what_cannot_be_saved_leaves_nothing(backup, tmp_path, changed, told):
    code, _, err = backup("save", tmp_path / "made", **{**PLACES, **changed})
    assert code == 2
    assert err.startswith("error: ")
    assert told in err
    assert "cret" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="needs PostgreSQL's client programs")
def test_a_server_that_is_away_leaves_nothing(backup, tmp_path):
    code, _, err = backup("save", tmp_path / "made", **PLACES)
    assert code == 2
    assert "pg_dump: " in err
    assert "onnection refused" in err
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize("query", ["sslmode=require", "password=s3%2Fcret&sslmode=require"])
def test_a_password_is_not_among_the_arguments(backup, tmp_path, query):
    """Which every user of the machine can list."""
    (tmp_path / "pg_dump").write_text(f'#!/bin/sh\necho "$PGPASSWORD $@" >{tmp_path}/called\n')
    (tmp_path / "pg_dump").chmod(0o755)
    own = "" if "password" in query else ":s3%2Fcret"
    database = f"postgresql+psycopg://mlflow{own}@db:5433/mlflow?{query}"
    path = f"{tmp_path}:{os.environ['PATH']}"
    code, _, err = backup("save", tmp_path / "made", **{**PLACES, **url(database), "PATH": path})
    assert (code, err) == (0, "")
    password, *arguments = (tmp_path / "called").read_text().split()
    assert password == "s3/cret"
    assert "--dbname=postgresql://mlflow@db:5433/mlflow?sslmode=require" in arguments
    assert "cret" not in " ".join(arguments)


def test_files_that_change_or_go_while_they_are_copied(script, tmp_path, monkeypatch):
    """As when trials replace their best checkpoint while a backup is made."""
    copied, turn = script.copy_files, threading.Lock()
    other = tmp_path / "here" / "1" / "other"

    def change_first(source, *places, **systems):
        with turn:
            if other.exists():
                other.with_name("model").write_text("a longer model")
                other.unlink()
        copied(source, *places, **systems)

    with monkeypatch.context() as patch:
        patch.setattr(script, "copy_files", change_first)
        said = script.save(tmp_path / "made")
    assert ", 1 files of " in said
    monkeypatch.setenv("MLFLOW_ARTIFACTS", str(tmp_path / "elsewhere"))
    script.restore(tmp_path / "made")
    restored = [path for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()]
    assert [path.read_text() for path in restored] == ["a longer model"]


def test_two_backups_at_once_do_not_meet(script, tmp_path, monkeypatch):
    def save_another(*_):
        monkeypatch.setattr(script, "run", lambda *_: None)
        script.save(tmp_path / "made")

    monkeypatch.setattr(script, "run", save_another)
    with pytest.raises(OSError, match="not empty"):
        script.save(tmp_path / "made")
    assert script.totals((script.LocalFileSystem(), str(tmp_path / "made/artifacts"))) == (2, 10)
    assert {path.name for path in tmp_path.iterdir()} == {"here", "made"}


def test_a_damaged_dump_is_found_before_anything_is_written(script, tmp_path, monkeypatch):
    script.save(tmp_path / "made")
    monkeypatch.setenv("MLFLOW_ARTIFACTS", str(tmp_path / "elsewhere"))
    calls = []

    def check_fails(url, program, *arguments):
        calls.append((url, *arguments[:1]))
        raise script.Refused("pg_restore: no archive")

    monkeypatch.setattr(script, "run", check_fails)
    with pytest.raises(script.Refused, match=r"^pg_restore: no archive$"):
        script.restore(tmp_path / "made")
    assert calls == [(None, "--file=/dev/null")]
    assert not (tmp_path / "elsewhere").exists()


def test_what_a_failed_restoration_has_written_is_named(script, tmp_path, monkeypatch):
    monkeypatch.setenv("MMSR_STORAGE", "postgresql://mlflow@127.0.0.1:9/optuna")
    script.save(tmp_path / "made")
    monkeypatch.setenv("MLFLOW_ARTIFACTS", str(tmp_path / "elsewhere"))

    def optuna_fails(url, program, *_):
        if url is not None and url.database == "optuna":
            raise script.Refused("pg_restore: away")

    monkeypatch.setattr(script, "run", optuna_fails)
    told = r"empty the place of MLFLOW_ARTIFACTS, the database mlflow$"
    with pytest.raises(script.Refused, match=told):
        script.restore(tmp_path / "made")


def test_a_database_that_is_away_is_named(backup, tmp_path):
    pytest.importorskip("psycopg", reason="needs `pip install 'mmsr[postgres]'`")
    folder = tmp_path / "made"
    folder.mkdir()
    made = {"made": "today", "files": 0, "bytes": 0, "databases": ["mlflow"]}
    (folder / "contents.json").write_text(json.dumps(made))
    code, _, err = backup("restore", folder, **PLACES)
    assert code == 2
    assert err.startswith("error: the database mlflow cannot be read: ")
    assert "onnection refused" in err


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "contents.json").unlink(), "holds no complete backup"),
        (lambda folder: (folder / "contents.json").write_text('{"made": "to'), "is damaged"),
        (lambda folder: (folder / "contents.json").write_text("{}"), "is damaged"),
        (lambda folder: (folder / "artifacts" / "1" / "model").unlink(), "is damaged"),
        (lambda folder: (folder / "artifacts" / "1" / "model").write_text("m"), "is damaged"),
    ],
    ids=["incomplete", "no JSON", "no contents", "lacks a file", "cut off"],
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

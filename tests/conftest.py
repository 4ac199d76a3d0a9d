"""What tests share: a home of their own, a small shop, small studies of it and their drivers."""

from __future__ import annotations

import base64
import io
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import settings

from mmsr.data import Dataset, Sources, prepare
from mmsr.study import Choice, Float, Halving, Int, Study
from mmsr.study.results.outcome import Ended

# How long an example takes is the machine's affair.
settings.register_profile("mmsr", deadline=None)
settings.load_profile("mmsr")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
N_USERS, N_ITEMS = 60, 40


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--chaos-all`: all faults of the chaos tests, at full length."""
    parser.addoption("--chaos-all", action="store_true", help="run all chaos tests, at full length")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `$MMSR_HOME`."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MMSR_HOME", str(folder))
    return folder


def write_shop(folder: Path) -> tuple[Path, dict[str, Path]]:
    """Neutral tables of a small shop; two items lack an image and one a text."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(N_USERS):
        at = rng.integers(N_ITEMS)
        for step in range(rng.integers(6, 15)):
            rows.append((f"u{user}", f"i{at}", step))
            at = (at + rng.choice([1, 1, 1, 7])) % N_ITEMS
    interactions = folder / "interactions.csv"
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).to_csv(
        interactions, index=False
    )
    features = {}
    for modality, width, missing in (("image", 12, {0, 5}), ("text", 8, {5})):
        items = [i for i in range(N_ITEMS) if i not in missing]
        vectors = rng.normal(size=(len(items), width)) + np.array(items)[:, None] % 4
        features[modality] = folder / f"{modality}.parquet"
        pd.DataFrame({"item_id": [f"i{i}" for i in items], "vector": list(vectors)}).to_parquet(
            features[modality]
        )
    return interactions, features


@pytest.fixture(scope="session")
def put_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Puts an MLflow store without runs into a file; its tables, which take seconds, are made once.

    A driver makes none where its home has one.
    """
    from mmsr.tracking.mlflow_place import make_store, prepare_environment
    from mmsr.urls import sqlite_url

    made = tmp_path_factory.mktemp("mlflow") / "mlflow.db"

    def put(path: Path) -> None:
        prepare_environment()
        make_store(sqlite_url(made))
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made, path)

    return put


@pytest.fixture(scope="session", autouse=True)
def new_stores_are_copies(put_store: Callable[[Path], None]) -> Iterator[None]:
    """The MLflow stores that studies make in this process are copies of one."""
    from mmsr.tracking.databases import sqlite_file
    from mmsr.tracking.mlflow_place import make_store

    def make(uri: Any) -> None:
        path = sqlite_file(uri)
        if path is not None and not path.exists():
            put_store(path)
        make_store(uri)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmsr.tracking.mlflow.make_store", make)
        yield


@pytest.fixture(scope="session")
def shop_tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """The shop's interactions, and features by modality."""
    return write_shop(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Address of an S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of a folder in a new S3 bucket."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}/mmsr"


@pytest.fixture(scope="session")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `$MMSR_HOME` that holds the prepared data set `shop`; tests must not change it."""
    folder = tmp_path_factory.mktemp("shop")
    interactions, features = write_shop(folder / "tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(folder / "home"))
        prepare("shop", Sources(interactions=interactions, features=features))
    return folder / "home"


@pytest.fixture
def shop(shop_home: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The prepared data set `shop`, opened."""
    monkeypatch.setenv("MMSR_HOME", str(shop_home))
    return Dataset.open("shop")


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
    for part in ("datasets", "held-out"):
        shutil.copytree(shop_home / part, home / part)
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


def called_here(
    call: Callable[[], object], arguments: Sequence[str], environment: Mapping[str, str]
) -> SimpleNamespace:
    """Call a program's main function in this process: the exit `code`, and what it said.

    Parameters
    ----------
    call : the function.
    arguments : the whole command line.
    environment : variables that it sees besides those of this process.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.argv", list(arguments))
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as stop:
            call()
    assert "Traceback" not in out.getvalue() + err.getvalue()
    return SimpleNamespace(code=stop.value.code or 0, out=out.getvalue(), err=err.getvalue())


@pytest.fixture(scope="session")
def mmsr_here() -> Callable[..., SimpleNamespace]:
    """Runs `mmsr` in this process, with a home and arguments; see `called_here`.

    Cheaper by seconds than a process, for all that needs none of its own.
    """

    def run(home: Path, *arguments: str) -> SimpleNamespace:
        from mmsr.cli.app import main

        environment = {"MMSR_HOME": str(home), "COLUMNS": "160"}
        return called_here(main, ["mmsr", *arguments], environment)

    return run


@pytest.fixture(scope="session")
def mmsr_process() -> Callable[..., SimpleNamespace]:
    """Like `mmsr_here`, but in a process, whose file descriptors show all that it says."""

    def run(home: Path, *arguments: str) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, "-m", "mmsr.cli.app", *arguments],
            env={**os.environ, "MMSR_HOME": str(home), "COLUMNS": "160"},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """Ray, started once for all studies that the tests of a module run in this process."""
    from mmsr.study.workers.cluster import ray_cluster

    with ray_cluster(None):
        yield


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

    def run_here(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Like `run`, but in this process: cheaper by seconds."""
        own = {k: v for k, v in self.environment.items() if os.environ.get(k) != v}
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(self.script.parent)
            done = called_here(
                lambda: runpy.run_path(str(self.script), run_name="__main__"),
                [str(self.script), *arguments],
                own,
            )
        assert done.code == code, f"exit code {done.code}\n{done.out}\n{done.err}"
        return done.out, done.err


@pytest.fixture(scope="session")
def driver_class() -> type[Driver]:
    """`Driver`, for tests that cannot import this file."""
    return Driver


@pytest.fixture(scope="session")
def faked_place(
    shop_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
    put_store: Callable[[Path], None],
) -> Callable[..., SimpleNamespace]:
    """Makes a home, a study file and its driver; the trials of `fake_training` log their epochs."""

    def make(name: str, text: str, **environment: str) -> SimpleNamespace:
        folder = tmp_path_factory.mktemp(name)
        for part in ("datasets", "held-out"):
            shutil.copytree(shop_home / part, folder / "home" / part)
        put_store(folder / "home" / "mlflow.db")
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


@pytest.fixture
def opened_study() -> Callable[..., Any]:
    """Opens the study of a plan in its storage; with a `command`, its record is written, too."""

    def opened(plan: Any, command: str | None = None, **given: Any) -> Any:
        from mmsr.study.storage import database
        from mmsr.study.storage.folder import StudyRecord
        from mmsr.tracking.databases import recorded

        study = database.open_study(
            database.open_storage(plan.storage),
            plan.name,
            plan.definition,
            sampler=plan.sampler.build(0, 0),
            pruner=None,
            **{"known": (), "trials": plan.trials, **given},
        )
        if command is not None:
            plan.folder.path.mkdir(parents=True, exist_ok=True)
            plan.folder.write_record(
                StudyRecord(
                    name=plan.name,
                    uid=database.study_uid(study),
                    dataset=plan.dataset.name,
                    objective=plan.objective,
                    storage=recorded(plan.storage),
                    tracking=recorded(plan.tracking),
                    command=command,
                    resources={"cpu": 2, "gpu": 0},
                )
            )
        return study

    return opened


class GuardedMlflow(BaseHTTPRequestHandler):
    """Enough of MLflow's REST interface to record runs, for who may; keeps what it is told."""

    def answer(self) -> None:
        """Refuse, or record the request and answer as MLflow does."""
        server: Any = self.server
        if self.headers.get("Authorization") not in server.allowed:
            self.send_response(401)
            self.end_headers()
            return
        length = int(self.headers.get("Content-Length", 0))
        server.asked.append((self.path, self.rfile.read(length).decode(errors="replace")))
        info = {"run_id": "r1", "run_uuid": "r1", "experiment_id": "1", "status": "RUNNING"}
        info["artifact_uri"] = "mlflow-artifacts:/1/r1/artifacts"
        experiment = {"experiment_id": "1", "name": "s", "lifecycle_stage": "active"}
        answers = {
            "get-by-name": {"experiment": experiment},
            "experiments/search": {"experiments": [experiment]},
            "runs/search": {"runs": []},
            "runs/create": {"run": {"info": info, "data": {}}},
            "runs/get": {"run": {"info": info, "data": {}}},
        }
        path = self.path.partition("?")[0]
        found = [told for end, told in answers.items() if path.endswith(end)]
        body = json.dumps(found[0] if found else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def guarded_mlflow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., ThreadingHTTPServer]]:
    """Starts a server with the list `asked`, which lets in one user, and who has a token."""
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    started = []

    def start(user: str, password: str, token: str = "none") -> ThreadingHTTPServer:
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), GuardedMlflow)
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        server.allowed, server.asked = {f"Basic {basic}", f"Bearer {token}"}, []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


class PostgresServer:
    """A PostgreSQL server of a test's own, which can be killed and started again.

    Parameters
    ----------
    folder : an empty folder for it.
    binaries : the folder of its programs.
    """

    def __init__(self, folder: Path, binaries: Path) -> None:
        # The server refuses to run as root.
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._user:
            shutil.chown(folder, "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._folder, self._binaries = folder, binaries
        self._data = folder / "data"
        self._options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.url = f"postgresql+psycopg://mmsr@127.0.0.1:{port}/postgres"
        self._run("initdb", "-D", str(self._data), "-U", "mmsr", "-A", "trust")

    def start(self) -> None:
        """Start it, for the first time or after it was killed."""
        log = self._folder / "log"
        command = ("pg_ctl", "-D", str(self._data), "-w", "-t", "300", "-l", str(log))
        try:
            self._run(*command, "-o", self._options, "start")
        except subprocess.CalledProcessError:
            pytest.fail(log.read_text()[-2000:])

    def new_database(self, name: str) -> str:
        """Make an empty database of this name; returns its URL."""
        import psycopg

        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]  # a literal
        return self.url.removesuffix("postgres") + name

    def kill(self) -> None:
        """End all of it without warning, as when its machine goes down."""
        server = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=60)

    def stop(self) -> None:
        """Stop it."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._user, str(self._binaries / program), *arguments]
        # No pipes: the server would keep them open.
        quiet = subprocess.DEVNULL
        subprocess.run(command, check=True, stdout=quiet, stderr=quiet)


@pytest.fixture(scope="session")
def postgres_server() -> Callable[[], AbstractContextManager[PostgresServer]]:
    """Starts PostgreSQL servers; each is stopped with its block."""
    return _postgres


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL server."""
    with _postgres() as server:
        yield server


@contextmanager
def _postgres() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg", reason="needs `pip install 'mmsr[postgres]'`")
    programs = list(Path("/usr/lib/postgresql").glob("[0-9]*/bin/initdb"))
    if not programs:
        pytest.skip("PostgreSQL's server is not installed")
    # Not among pytest's own folders, which no other user can enter.
    with TemporaryDirectory(prefix="mmsr-pg-") as folder:
        newest = max(programs, key=lambda path: float(path.parts[-3]))
        server = PostgresServer(Path(folder), newest.parent)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def without_ray() -> Callable[..., None]:
    """Lets drivers run trials in this process: called with a patch, and with what stands for Tune.

    By default the trials are trained, one after the other.
    """

    def replace(patch: pytest.MonkeyPatch, tune: Callable[..., None] = _train_here) -> None:
        replaced: dict[str, Callable[..., Any]] = {
            "ray_cluster": lambda address: nullcontext(),
            "watched_head": lambda *_: nullcontext(),
            "shown_board": lambda show: nullcontext("none"),
            "settle": lambda plan, say: plan,
            "_tune": tune,
        }
        for name, value in replaced.items():
            patch.setattr(f"mmsr.study.driver.run.{name}", value)

    return replace


@pytest.fixture(scope="session")
def trained_home(
    shop_home: Path, tmp_path_factory: pytest.TempPathFactory, without_ray: Callable[..., None]
) -> Path:
    """A home with the finished study `small` of three trials, trained in this process."""
    home = tmp_path_factory.mktemp("trained") / "home"
    for part in ("datasets", "held-out"):
        shutil.copytree(shop_home / part, home / part)
    study = Study(
        dataset="shop",
        name="small",
        trials=3,
        epochs=2,
        space={
            "graph.n_codes": Int(4, 8, step=2),
            "graph.links_per_item": Int(1, 2),
            "model.fusion": Choice("adaptive", "early"),
            "training.learning_rate": Float(1e-3, 1e-1, log=True),
        },
        base={"model.width": 8, "training.batch_size": 32, "model.scoring": "item_and_codes"},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        without_ray(patch)
        assert study.run().ended is Ended.FINISHED
    return home


def _train_here(plan: Any, ledger: Any, n_trials: int, *_: object) -> None:
    from mmsr.study.storage.lineage import trial_folder
    from mmsr.study.workers.messages import Report
    from mmsr.training import train

    for name in map(str, range(n_trials)):
        proposal = ledger.ask(name)
        for place, result in enumerate(train(proposal.config, plan.dataset)):
            fields = ("epoch", "metrics", "best_epoch", "best_metrics", "finished")
            report = Report(**{field: getattr(result, field) for field in fields})
            folder = trial_folder(plan.folder.ray, proposal.number) / f"checkpoint_{place:06d}"
            result.save_checkpoint(folder)
            files = {path.name: path.stat().st_size for path in folder.iterdir()}
            kept = report.model_copy(update={"files": files})
            (folder / "report.json").write_text(kept.model_dump_json())
            ledger.report(name, report)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for pages that a test looks at as a user does."""
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with (
        sync.sync_playwright() as play,
        play.chromium.launch(executable_path=program, args=options, timeout=120_000) as started,
    ):
        yield started


class Tab:
    """A page in a browser, with what it said, what went wrong in it and what it asked for.

    Parameters
    ----------
    browser : the browser.
    shots : folder of its screenshots.
    options : of the browser's new page.
    """

    def __init__(self, browser: Any, shots: Path, **options: Any) -> None:
        size = {"width": 1400, "height": 1000}
        self.page = browser.new_page(**{"viewport": size, "color_scheme": "light", **options})
        self.page.set_default_timeout(120_000)
        self.said: list[str] = []
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self._shots = shots
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _note(self, message: Any) -> None:
        self.said.append(message.text)
        if message.type == "error":
            self.wrong.append(f"{message.text} {message.location['url']}")

    def shot(self, name: str) -> None:
        """Keep a screenshot, `name.png`."""
        self._shots.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._shots / f"{name}.png")


@pytest.fixture
def new_tab(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Tab]]:
    """Opens pages in the browser; screenshots are kept in `$MMSR_SCREENSHOTS`, if it is set."""
    opened = []
    shots = Path(os.environ.get("MMSR_SCREENSHOTS", tmp_path / "screenshots"))

    def new(**options: Any) -> Tab:
        opened.append(Tab(browser, shots, **options))
        return opened[-1]

    yield new
    for tab in opened:
        tab.page.close()

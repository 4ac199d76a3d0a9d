"""A team's tracking server: `mlflow/serve.sh` with passwords, on PostgreSQL and an S3 store."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADMIN, USER = ("admin", "of-the-admin-0123"), ("ada", "of-ada-0123456789")
BUCKET = "tracking"


class TrackingServer:
    """A tracking server that can be killed and started again.

    Parameters
    ----------
    folder : its working folder.
    places : its database and artifacts, as `serve.sh` is given them.
    """

    def __init__(self, folder: Path, places: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.folder, self.uri = folder, f"http://127.0.0.1:{port}"
        self.host = f"127.0.0.1:{port}"
        self.places = places
        inherited = {name: value for name, value in os.environ.items() if "MLFLOW" not in name}
        self._environment = {
            **inherited,
            **self.places,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MLFLOW_PORT": str(port),
            "MLFLOW_AUTH": "on",
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self.folder / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [ROOT / "mlflow" / "serve.sh"],
                cwd=self.folder,
                env=self._environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        deadline = time.monotonic() + 240
        while True:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(log.read_text()[-3000:])
                time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL it and all its processes."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def ask(
        self, path: str, body: object = None, user: tuple[str, str] | None = USER, **more: Any
    ) -> Any:
        """The JSON that a path answers with.

        Parameters
        ----------
        path : below the server's address.
        body : sent as JSON; None sends none.
        user : name and password; None gives none.
        more : options of the request, e.g. its method.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.uri}{path}", data, **more)
        request.add_header("Content-Type", "application/json")
        if user is not None:
            request.add_header("Authorization", basic_header(user))
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")


def basic_header(user: tuple[str, str]) -> str:
    """The header by which a user is known."""
    return f"Basic {base64.b64encode(':'.join(user).encode()).decode()}"


@pytest.fixture(scope="session")
def tracking_server(
    postgres_server: Any, s3: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimpleNamespace]:
    """A running server with one user who is no admin; and what it stores."""
    pytest.importorskip("flask_wtf", reason="needs `pip install 'mmsr[server]'`")
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    store = boto3.client("s3", endpoint_url=s3, region_name="us-east-1", **keys)
    store.create_bucket(Bucket=BUCKET)
    started = []

    def start_on(name: str, places: dict[str, str]) -> TrackingServer:
        server = TrackingServer(tmp_path_factory.mktemp(name), places)
        started.append(server)
        server.start()
        return server

    def start(name: str, url: str) -> TrackingServer:
        places = {
            "MLFLOW_DATABASE": url.replace("+psycopg", ""),
            "MLFLOW_ARTIFACTS": f"s3://{BUCKET}/artifacts",
            "MLFLOW_S3_ENDPOINT_URL": s3,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        server = start_on(name, places)
        server.ask(
            "/api/2.0/mlflow/users/create", {"username": USER[0], "password": USER[1]}, user=ADMIN
        )
        return server

    with postgres_server() as database:
        try:
            yield SimpleNamespace(
                server=start("tracking", database.url),
                another=lambda name: start(name, database.new_database(name)),
                on=start_on,
                user=USER,
                admin=ADMIN,
                store=store,
                bucket=BUCKET,
                url=database.url,
                new_database=database.new_database,
            )
        finally:
            for server in started:
                server.kill()


@pytest.fixture(scope="session")
def basic() -> Callable[[tuple[str, str]], str]:
    """Makes the header by which a user is known, of name and password."""
    return basic_header


@pytest.fixture
def as_user(tracking_server: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's URI, where MLflow's client names itself as the user."""
    for name, value in zip(("USERNAME", "PASSWORD"), tracking_server.user, strict=True):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return str(tracking_server.server.uri)

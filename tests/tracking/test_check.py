"""Which tracking servers and stores are refused before a study, and which only wait."""

from __future__ import annotations

import socket
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from mmsr.errors import UserError
from mmsr.tracking import check_tracking


@pytest.fixture
def answering():
    """Start a server that answers each request with one status; returns its address."""
    servers = []

    def start(status):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_answers_can_be_used(answering):
    assert check_tracking(answering(200)) is None
    assert check_tracking(answering(403)) is None


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_behind_a_proxy_may_be_away(answering, status):
    assert f"is away: HTTP {status}" in check_tracking(answering(status))


@pytest.mark.parametrize("status", [404, 405])
def test_another_server_is_refused(answering, status):
    with pytest.raises(UserError, match="does not answer as an MLflow server does"):
        check_tracking(answering(status))


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:9", "http://no.such.host.invalid", "postgresql+psycopg://127.0.0.1:9/x"],
)
def test_a_server_that_does_not_answer_is_away(uri):
    away = check_tracking(uri)
    assert away is not None
    assert "\n" not in away


def test_a_port_that_does_not_speak_http_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UserError, match="does not answer as an MLflow server does"):
            check_tracking(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


@pytest.fixture
def store_of(tmp_path_factory):
    """Make a SQLite store that records these revisions of its tables, in a folder of short name."""
    folder = tmp_path_factory.mktemp("s")

    def make(*revisions):
        path = folder / "mlflow.db"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
            connection.executemany(
                "INSERT INTO alembic_version VALUES (?)", [(revision,) for revision in revisions]
            )
        connection.close()
        return f"sqlite:///{path}"

    return make


def test_tables_of_an_older_mlflow_are_refused_with_the_command_that_upgrades_them(store_of):
    uri = store_of("0584bdc529eb")
    with pytest.raises(UserError, match=r"older MLflow.*0584bdc529eb") as error:
        check_tracking(uri)
    assert str(error.value).endswith(f"upgrade it with `mlflow db upgrade {uri}`")


def test_tables_of_another_program_or_a_newer_mlflow_are_refused(store_of):
    with pytest.raises(UserError, match=r"does not know.*v3\.2\.0\.a"):
        check_tracking(store_of("v3.2.0.a"))


def test_a_store_without_tables_is_made_by_mlflow(store_of, tmp_path):
    assert check_tracking(store_of()) is None
    assert check_tracking(f"sqlite:///{tmp_path / 'new.db'}") is None
    assert not (tmp_path / "new.db").exists()

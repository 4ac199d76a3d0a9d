"""A tracking server that demands Basic authentication or a token, as a study meets it."""

from __future__ import annotations

import pytest

from mmsr.errors import UserError
from mmsr.tracking import check_tracking
from mmsr.tracking.base import RunOpened
from mmsr.tracking.journal.shipper import Unavailable
from mmsr.tracking.mlflow import MlflowSink

USER, PASSWORD, TOKEN = "ada", "s3c/r@t", "t0k3n"
QUOTED = "s3c%2Fr%40t"


@pytest.fixture
def server(guarded_mlflow):
    """A server that only lets `USER` or `TOKEN` in."""
    return guarded_mlflow(USER, PASSWORD, TOKEN)


@pytest.fixture
def address(server):
    """Host and port of the server."""
    return f"127.0.0.1:{server.server_address[1]}"


def open_a_run(uri):
    check_tracking(uri)
    runs = {}
    MlflowSink(uri, "s", "u").deliver([RunOpened(key="a", time=1, name="run a")], runs)
    assert runs == {"a": "r1"}


def test_user_and_password_of_the_uri(server, address):
    uri = f"http://{USER}:{QUOTED}@{address}"
    open_a_run(uri)
    assert MlflowSink(uri, "s", "u").place == f"http://{address}"
    assert not [text for text in server.asked if PASSWORD in str(text) or QUOTED in str(text)]


@pytest.mark.parametrize(
    "environment", [{"USERNAME": USER, "PASSWORD": PASSWORD}, {"TOKEN": TOKEN}], ids=str
)
def test_user_or_token_of_the_environment(environment, address, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    open_a_run(f"http://{address}")


def test_the_uri_wins_over_the_environment(address, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    open_a_run(f"http://{USER}:{QUOTED}@{address}")


def test_nobody_and_a_wrong_password_are_refused_at_once(address, tmp_path):
    with pytest.raises(UserError, match="demands a user or a token: set MLFLOW_TRACKING_USERNAME"):
        check_tracking(f"http://{address}")
    with pytest.raises(UserError, match="refuses this user or token") as told:
        check_tracking(f"http://{USER}:wr0ng@{address}")
    assert "wr0ng" not in str(told.value)
    (tmp_path / ".netrc").write_text("")  # where MLflow's client looks, too
    check_tracking(f"http://{address}")


def test_an_error_of_the_client_repeats_no_password(monkeypatch):
    sink = MlflowSink(f"http://{USER}:{QUOTED}@127.0.0.1:9", "s", "u")
    with pytest.raises(Unavailable) as told:
        sink.deliver([RunOpened(key="a", time=1, name="a")], {})
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__
    for secret in (QUOTED, PASSWORD):
        assert secret not in str(told.value)
    away = check_tracking(f"http://{USER}:{QUOTED}@127.0.0.1:9")
    assert "cannot be reached" in away
    assert QUOTED not in away

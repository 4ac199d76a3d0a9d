"""A team's server lets nobody in without a password, keeps to its folder, shows texts as texts."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import urllib.error
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from mmsr.errors import UserError
from mmsr.tracking import RunState, check_tracking
from mmsr.tracking.base import DataUsed, Metrics, RunClosed, RunOpened, Tags, Upload
from mmsr.tracking.journal.sink import Blocked
from mmsr.tracking.mlflow import MlflowSink
from mmsr.tracking.mlflow_place import curves_page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ATTACK = "<script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>toys"
CALLS = {
    "POST experiments/create",
    "GET experiments/get-by-name",
    "GET experiments/search",
    "POST runs/create",
    "GET runs/get",
    "POST runs/update",
    "POST runs/search",
    "POST runs/restore",
    "POST runs/log-batch",
    "POST runs/log-inputs",
    "POST runs/delete-tag",
    "GET mlflow-artifacts/artifacts",
    "PUT mlflow-artifacts/artifacts/…",
}
"""What mmsr asks a tracking server for."""
INFO = "3.0/mlflow/server-info"
OPEN_TO_ALL = {"/health", "/version", f"/api/{INFO}", f"/ajax-api/{INFO}"}
"""Whether it is there, and which MLflow it is."""


@pytest.fixture(scope="module")
def asked(tracking_server, tmp_path_factory):
    """All requests of a study that is opened, failed, resumed and ended, as method and path."""
    import requests
    from mlflow import MlflowClient

    folder, uri, seen = tmp_path_factory.mktemp("files"), tracking_server.server.uri, set()
    send = requests.Session.send

    def noted(session, request, **options):
        seen.add((request.method, request.path_url.partition("?")[0]))
        return send(session, request, **options)

    (folder / "best.safetensors").write_bytes(b"weights")
    upload = Upload(key="a", time=4, folder=str(folder), names=["best.safetensors"])
    opened = RunOpened(
        key="a",
        time=1,
        name=ATTACK,
        params={"dataset": ATTACK},
        tags={"mmsr.kind": "trial", "mlflow.note.content": ATTACK, "mmsr.title": ATTACK},
        data=DataUsed(name=ATTACK, digest="0123", source="/shop"),
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("USERNAME", "PASSWORD"), tracking_server.user, strict=True):
            patch.setenv(f"MLFLOW_TRACKING_{name}", value)
        patch.setattr(requests.Session, "send", noted)
        assert check_tracking(uri) is None
        seen.add(("GET", "/api/2.0/mlflow/experiments/search"))  # which that has asked for
        sink, runs = MlflowSink(uri, ATTACK, "uid"), {}
        failed = RunClosed(key="a", time=3, state=RunState.FAILED, tags={"mmsr.error": "boom"})
        values = Metrics(key="a", time=2, step=1, values={"best/valid/mrr@20": 0.25})
        sink.deliver([opened, values, failed], runs)
        sink.check(runs)
        MlflowClient(uri).delete_run(runs["a"])
        sink.deliver([opened, upload, Tags(key="a", time=5, tags={"a": "b"})], runs)
        (folder / "best.safetensors").unlink()
        sink.deliver([upload, RunClosed(key="a", time=6, state=RunState.FINISHED)], runs)
        page = curves_page(uri, ATTACK, "valid/mrr@20")
    return seen, page, runs["a"]


def short(method, path):
    """As in `CALLS`."""
    named = path.removeprefix("/api/2.0/").removeprefix("mlflow/")
    head, files, _ = named.partition("mlflow-artifacts/artifacts/")
    return f"{method} {head}{files}{'…' * bool(files)}"


def status(server, method, path, headers=None):
    """The status that a path answers with as it stands: other clients tidy up `..` themselves."""
    connection = http.client.HTTPConnection(server.host, timeout=60)
    try:
        connection.putrequest(method, path)
        for name, value in {**(headers or {}), "Content-Length": "2"}.items():
            connection.putheader(name, value)
        connection.endheaders(b"{}")
        return connection.getresponse().status
    finally:
        connection.close()


def test_what_mmsr_asks_for_is_known(asked):
    called = {short(*call) for call in asked[0]}
    assert called - {"POST runs/delete"} == CALLS


def test_all_that_mmsr_asks_for_needs_a_password(asked, tracking_server, basic):
    server, (user, _) = tracking_server.server, tracking_server.user
    wrong = [None, {"Authorization": basic((user, "wrong-0123456789"))}, {"Authorization": "Basic"}]
    for headers in wrong:
        answers = {call: status(server, *call, headers) for call in asked[0]}
        assert set(answers.values()) == {401}, answers
    with pytest.raises(UserError, match="demands a user or a token"):
        check_tracking(server.uri)
    with pytest.raises(UserError, match="refuses this user or token"):
        check_tracking(f"http://{user}:wrong-0123456789@{server.host}")


def test_everything_else_needs_a_password_too(tracking_server):
    from mlflow.server.handlers import get_endpoints

    routes = [(path, methods[0]) for path, _, methods in get_endpoints()]
    assert len(routes) > 100
    for path, method in [*routes, ("/", "GET"), ("/graphql", "POST"), ("/signup", "GET")]:
        if path not in OPEN_TO_ALL:
            filled = re.sub("<[^>]*>", "1", path)
            assert status(tracking_server.server, method, filled) == 401, (method, path)


def test_admin_has_no_password_that_everybody_knows(tracking_server, basic):
    for password in ("password1234", "password", "admin", ""):
        headers = {"Authorization": basic(("admin", password))}
        path = "/api/2.0/mlflow/experiments/search?max_results=1"
        assert status(tracking_server.server, "GET", path, headers) == 401
    right = {"Authorization": basic(tracking_server.admin)}
    assert status(tracking_server.server, "GET", path, right) == 200


def test_only_its_own_names_are_answered(tracking_server, basic):
    server, path = tracking_server.server, "/api/2.0/mlflow/experiments/search?max_results=1"
    user = {"Authorization": basic(tracking_server.user)}
    assert status(server, "GET", path, user) == 200
    connection = http.client.HTTPConnection(server.host, timeout=60)
    connection.request("GET", path, headers={**user, "Host": "elsewhere.example.org"})
    assert connection.getresponse().status == 403
    connection.close()


def test_others_may_read_and_are_let_in_to_write(asked, tracking_server):
    """As the admin does it by the calls of docs/tracking_server.md."""
    server, admin, bob = tracking_server.server, tracking_server.admin, ("bob", "of-bob-0123456789")
    created = {"username": bob[0], "password": bob[1]}
    server.ask("/api/2.0/mlflow/users/create", created, user=admin)
    found = server.ask(f"/api/2.0/mlflow/runs/get?run_id={asked[2]}", user=bob)["run"]
    assert found["info"]["run_name"] == ATTACK
    sink, runs = MlflowSink(f"http://{bob[0]}:{bob[1]}@{server.host}", ATTACK, "uid"), {}
    events = [RunOpened(key="b", time=1, name="of bob")]
    with pytest.raises(Blocked, match="Permission denied"):
        sink.deliver(events, runs)
    granted = {"username": bob[0], "resource_type": "experiment", "permission": "EDIT"}
    granted["resource_id"] = found["info"]["experiment_id"]
    server.ask("/api/3.0/mlflow/users/permissions/grant", granted, user=admin)
    sink.deliver(events, runs)
    assert runs
    with pytest.raises(urllib.error.HTTPError, match="403"):
        server.ask("/api/2.0/mlflow/users/create", created, user=bob)


def test_the_container_s_health_check(tracking_server):
    service = yaml.safe_load((ROOT / "mlflow" / "compose.yaml").read_text())["services"]["tracking"]
    kind, program, *words = service["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    for port, healthy in ((urlsplit(tracking_server.server.uri).port, True), (9, False)):
        environment = {**os.environ, "MLFLOW_PORT": str(port)}
        done = subprocess.run([sys.executable, *words], env=environment, capture_output=True)
        assert (done.returncode == 0) == healthy


@pytest.mark.parametrize("up", ["..", "%2e%2e", "%2E.", "..%2f..", "%252e%252e"])
def test_paths_of_artifacts_lead_nowhere_else(asked, tracking_server, basic, up):
    """Even for the admin, whom no permission holds back."""
    server, run = tracking_server.server, asked[2]
    admin = {"Authorization": basic(tracking_server.admin)}
    store = "/api/2.0/mlflow-artifacts/artifacts"
    for method, path in [
        *((method, f"{store}/1/{up}/{up}/{up}/x") for method in ("GET", "PUT", "DELETE")),
        *((method, f"{store}/{up}/x") for method in ("GET", "PUT", "DELETE")),
        ("GET", f"{store}?path={up}/{up}"),
        ("GET", f"/get-artifact?run_id={run}&path={up}/{up}/x"),
        ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run}&path={up}/{up}"),
    ]:
        assert 400 <= status(server, method, path, admin) < 500, (method, path)
    stored = tracking_server.store.list_objects_v2(Bucket=tracking_server.bucket)["Contents"]
    assert stored
    for one in stored:
        assert re.match(r"artifacts/\d+/[0-9a-f]{32}/artifacts/", one["Key"])


def test_files_of_an_experiment_in_a_bucket_go_straight_there(
    tracking_server, as_user, bucket, monkeypatch, tmp_path
):
    """As where the server does not pass them through: clients have the credentials then."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"])
    MlflowClient(as_user).create_experiment("direct", artifact_location=bucket)
    (tmp_path / "best.safetensors").write_bytes(b"weights")
    upload = Upload(key="a", time=2, folder=str(tmp_path), names=["best.safetensors"])
    runs = {}
    MlflowSink(as_user, "direct", "uid").deliver(
        [RunOpened(key="a", time=1, name="a"), upload], runs
    )
    name, _, folder = bucket.removeprefix("s3://").partition("/")
    key = f"{folder}/{runs['a']}/artifacts/best.safetensors"
    assert tracking_server.store.get_object(Bucket=name, Key=key)["Body"].read() == b"weights"


def test_texts_stay_texts_in_every_page(asked, tracking_server, new_tab):
    server, (user, password) = tracking_server.server, tracking_server.user
    _, table, run = asked
    experiment = re.search(r"experiments/(\d+)", table)[1]
    page = new_tab(http_credentials={"username": user, "password": password}).page
    for path in (
        "#/experiments",
        table,
        table.replace("compareRunsMode=CHART", "compareRunsMode=TABLE"),
        f"#/experiments/{experiment}/runs/{run}",
    ):
        page.goto("about:blank")
        page.goto(f"{server.uri}/{path}")
        page.get_by_text("<script>window.attacked = 1</script>").first.wait_for()
        assert page.evaluate("window.attacked") is None, path

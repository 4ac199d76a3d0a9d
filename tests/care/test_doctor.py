"""The doctor finds what is wrong, says what to do, and never waits."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmsr.care import checks
from mmsr.care.doctor import Verdict, examine, ok
from mmsr.errors import UserError


@pytest.fixture(autouse=True)
def plain(home, monkeypatch):
    for name in ("MMSR_STORAGE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def raising(error):
    def check():
        raise error

    return check


def test_each_check_is_told_and_none_is_waited_for():
    never = threading.Event()
    found = examine(
        {
            "hangs": lambda: ok("late") if never.wait() else ok(""),
            "works": lambda: ok("well"),
            "refused": raising(UserError("no such place: name another")),
            "full": raising(OSError(28, "No space left on device", "/home/x")),
            "broken": raising(ImportError("torch\ncannot be loaded from https://u:pw@host/x")),
        },
        seconds=0.3,
    )
    assert list(found) == ["hangs", "works", "refused", "full", "broken"]
    assert found["works"] == ok("well")
    verdicts = {name: one.verdict for name, one in found.items()}
    assert verdicts.pop("hangs") is Verdict.WARN
    assert verdicts.pop("works") is Verdict.OK
    assert set(verdicts.values()) == {Verdict.FAIL}
    assert found["full"].text == "No space left on device: /home/x"
    assert "\n" not in found["broken"].text
    assert "pw" not in found["broken"].text


def test_an_empty_home_is_well():
    for check in (checks.python, checks.home, checks.storage, checks.tracking, checks.clock):
        assert check().verdict is Verdict.OK, check()


def test_versions_are_compared_with_what_mmsr_needs(monkeypatch):
    needed = ["torch>=99", "nowhere-to-be-found", "numpy>=1", "moto>=99; extra == 'dev'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: needed)
    found = checks.packages()
    assert found.verdict is Verdict.FAIL
    assert "nowhere-to-be-found is missing" in found.text
    assert "numpy" not in found.text + found.remedy
    assert found.remedy == "pip install 'torch>=99' 'nowhere-to-be-found'"
    monkeypatch.setattr("importlib.metadata.requires", lambda name: ["numpy>=1"])
    assert checks.packages().text.startswith("torch ")
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: {"Requires-Python": ">=99"})
    assert checks.python().remedy.startswith("mmsr needs Python >=99")


def test_a_home_that_cannot_be_written_is_found(home, monkeypatch, tmp_path):
    home.write_text("a file")
    found = checks.home()
    assert found.verdict is Verdict.FAIL
    assert "set MMSR_HOME to a folder" in found.remedy
    monkeypatch.setenv("MMSR_HOME", f"file://{tmp_path}")
    assert "in an object store" in checks.home().text
    monkeypatch.setenv("MMSR_HOME", "ftp://host/x")
    assert examine({"home": checks.home})["home"].verdict is Verdict.FAIL


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "verdict"), [(5e8, "fail"), (5e9, "warn"), (5e10, "ok")])
def test_space_is_measured_where_the_home_is(free, verdict, home, monkeypatch):
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda at: asked.append(at) or Usage(1e12, 0, free))
    assert checks.disk().verdict == verdict
    assert asked == [home.parent], "the home is not there yet"


@pytest.mark.parametrize(
    ("driver", "told", "verdict", "text"),
    [
        (None, "", "ok", "none: models are trained on the CPU"),
        ("550.1", "12.8|NVIDIA H200|NVIDIA H200", "ok", "NVIDIA H200, NVIDIA H200 (CUDA 12.8"),
        ("550.1", "", "warn", "torch is built for the CPU"),
        ("450.1", "12.8", "warn", "torch for CUDA 12.8 cannot use it (driver 450.1)"),
        ("550.1", None, "fail", "torch does not work: OSError: libcudart.so"),
    ],
)
def test_gpus_are_those_of_torch(driver, told, verdict, text, monkeypatch):
    monkeypatch.setattr(checks, "_driver", lambda: driver)
    monkeypatch.setattr(checks, "_DEVICES", ())
    done = subprocess.CompletedProcess([], 0, f"torch says hello\n{told}\n", "")
    if told is None:
        done = subprocess.CompletedProcess([], 1, "", "Traceback\nOSError: libcudart.so")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    found = checks.gpu()
    assert (found.verdict, text in found.text) == (verdict, True), found


def test_ray_is_asked_for_and_not_started(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path.parents[-2]))
    assert checks.ray().text.startswith("can start on this machine: ")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        address = f"127.0.0.1:{server.server_port}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert checks.ray().text == f"a cluster answers at {address} (RAY_ADDRESS)"
    found = examine({"ray": checks.ray})["ray"]
    assert (found.verdict, "nothing answers there" in found.text) == (Verdict.FAIL, True)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    assert "holds no token" in examine({"ray": checks.ray})["ray"].text


def test_servers_that_are_away_are_told_without_secrets(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:sesame99@127.0.0.1:9")
    monkeypatch.setenv("MMSR_STORAGE", "postgresql://user:sesame99@127.0.0.1:9/optuna")
    found = examine({"storage": checks.storage, "tracking": checks.tracking})
    assert found["tracking"].verdict is Verdict.WARN
    assert "mmsr study sync" in found["tracking"].remedy
    assert found["storage"].verdict is Verdict.FAIL
    assert "sesame99" not in str(found)


def test_a_database_without_a_lock_is_warned_of(monkeypatch):
    monkeypatch.setattr("mmsr.study.storage.driver_lock.can_be_claimed", lambda url: False)
    assert checks.storage().verdict is Verdict.WARN


class Late(BaseHTTPRequestHandler):
    """A server whose clock is a minute late; it refuses everything."""

    def do_HEAD(self):
        self.send_response_only(401)
        self.send_header("Date", format_datetime(datetime.now(UTC) - timedelta(minutes=1)))
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_clock_that_differs_from_the_servers_is_found(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        found = checks.clock()
        server.shutdown()
    assert found.verdict is Verdict.WARN
    assert "s ahead of MLflow's server" in found.text

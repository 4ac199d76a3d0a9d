"""`mmsr ui` as a user calls it."""

from __future__ import annotations

import importlib.util
import signal
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from mmsr.cli import ui
from mmsr.cli.app import app
from mmsr.errors import UserError
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.ui.pages import dashboard_page, mlflow_pages
from mmsr.ui.servers import dashboard_server, mlflow_server
from mmsr.urls import Url


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["ui", *arguments])
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


def test_bad_input_starts_nothing(study_home, tmp_path, monkeypatch):
    assert "unknown study 'toys'" in refused("toys")
    assert "keeps nothing" in refused("--storage", "sqlite://")
    typo = tmp_path / "optunna.db"
    assert "no study is stored there" in refused("--storage", f"sqlite:///{typo}")
    assert not typo.exists()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    away = refused("--tracking-uri", "http://127.0.0.1:9")
    assert "MLflow is at http://127.0.0.1:9, and " in away
    assert "pip install 'mmsr[ui]'" in away


@pytest.fixture
def started(monkeypatch):
    """The servers that are started, none of which runs."""
    found = []

    @contextmanager
    def running(wanted):
        found.extend(wanted)
        yield {
            name: SimpleNamespace(address=f"http://{name}", wait=lambda path: None)
            for name in wanted
        }

    def watch(servers):
        raise KeyboardInterrupt

    monkeypatch.setattr("mmsr.ui.servers.running", running)
    monkeypatch.setattr("mmsr.ui.servers.watch", watch)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def test_without_the_extra_mlflow_is_started_alone(study_home, started, monkeypatch):
    monkeypatch.setattr(ui, "_has_dashboard", lambda: False)
    done = CliRunner().invoke(app, ["ui"])
    assert (done.exit_code, started) == (0, ["MLflow"])
    assert "http://MLflow/#/experiments" in done.output
    assert "not installed: run `pip install 'mmsr[ui]'`" in done.output
    assert signal.getsignal(signal.SIGHUP) is signal.default_int_handler


def test_mlflow_at_databricks_is_not_started(study_home, started, monkeypatch):
    monkeypatch.setattr(ui, "_has_dashboard", lambda: True)
    monkeypatch.setattr("mmsr.tracking.check_tracking", lambda tracking: None)
    done = CliRunner().invoke(app, ["ui", "--tracking-uri", "databricks"])
    assert (done.exit_code, started) == (0, ["optuna-dashboard"]), done.output
    assert "databricks/#" not in done.output


def test_passwords_are_on_no_command_line():
    url = Url.parse("postgresql+psycopg://u:5ecr3t@h/d")
    for command, environment in (mlflow_server(url, 1), dashboard_server(url, 2)):
        assert "5ecr3t" not in " ".join(command)
        assert url.reveal() in environment.values()


def test_mlflows_assistant_runs_nothing_outside_its_sandbox(monkeypatch):
    base = pytest.importorskip("mlflow.assistant.providers.base", reason="MLflow has no assistant")
    _, environment = mlflow_server(Url.parse("sqlite:///mlflow.db"), 1)
    assert not base.assistant_sandbox_enabled()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert base.assistant_sandbox_enabled()


def test_pages_of_a_study_and_of_all(small_study, study_home, opened_study):
    plan = make_plan(small_study, Options())
    known = plan.as_known(opened_study(plan))
    assert dashboard_page(known) == "dashboard/studies/1"
    assert dashboard_page(None) == "dashboard"
    assert mlflow_pages(known) == {"experiments": "#/experiments"}, "nothing is recorded yet"

"""`mmsr ui` as a user calls it."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import urllib.request

import psutil
import pytest
from typer.testing import CliRunner

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


def test_bad_input_starts_nothing(study_home, monkeypatch):
    assert "unknown study 'toys'" in refused("toys")
    assert "keeps nothing" in refused("--storage", "sqlite://")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'mmsr[ui]'" in refused()


def test_passwords_are_on_no_command_line():
    url = Url.parse("postgresql+psycopg://u:5ecr3t@h/d")
    for command, environment in (mlflow_server(url, 1), dashboard_server(url, 2)):
        assert "5ecr3t" not in " ".join(command)
        assert url.reveal() in environment.values()


def test_pages_of_a_study_and_of_all(small_study, study_home, opened_study):
    plan = make_plan(small_study, Options())
    known = plan.as_known(opened_study(plan))
    assert dashboard_page(known) == "dashboard/studies/1"
    assert dashboard_page(None) == "dashboard"
    assert mlflow_pages(known) == {"experiments": "#/experiments"}, "nothing is recorded yet"


@pytest.mark.slow
def test_both_servers_answer_until_ctrl_c(small_study, study_home, opened_study):
    plan = make_plan(small_study, Options())
    opened_study(plan, "python shop.py")
    process = subprocess.Popen(
        [sys.executable, "-m", "mmsr.cli.app", "ui", "shop"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    while not lines or "Ctrl-C" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    children = psutil.Process(process.pid).children(recursive=True)
    addresses = [re.search(r"http://\S+", line)[0] for line in lines if "http://" in line]
    assert addresses[-1].endswith("/dashboard/studies/1")
    for address in addresses:
        with urllib.request.urlopen(address.partition("#")[0]) as page:
            assert page.status == 200
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "stopped\n")
    assert not [child for child in children if child.is_running()]

"""`mmsr study sync` and `mmsr study status`: what MLflow does not have, and sending it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.errors import UserError
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage.known_study import look_up, open_journal
from mmsr.tracking import Unshipped
from mmsr.tracking.databases import place_of
from mmsr.tracking.journal.sink import Refused, Unavailable
from mmsr.urls import Url


class Server:
    """In MLflow's place."""

    error = None

    def __init__(self, uri, experiment, study):
        self.place = place_of(Url.parse(uri))

    def deliver(self, events, runs):
        if self.error is not None:
            raise self.error


@pytest.fixture
def known(small_study, study_home, opened_study, monkeypatch):
    """A study whose journal has two events that MLflow does not have."""
    monkeypatch.setattr("mmsr.tracking.mlflow.MlflowSink", Server)
    monkeypatch.setattr("mmsr.study.storage.known_study.SHIP_SECONDS", 0.1)
    monkeypatch.setattr(Server, "error", Unavailable("no route"))
    opened_study(make_plan(small_study, Options(name="small")), command="python small.py")
    known = look_up("small")
    tracker = open_journal(known)
    tracker.tag("a", {"mmsr.kind": "trial"})
    tracker.log("a", 1, {"loss": 0.5})
    assert tracker.close(0.1) == Unshipped(waiting=2, why="the server is away: no route")
    return known


def mmsr(*words):
    done = CliRunner().invoke(app, words)
    return done.exit_code, " ".join(done.output.split())


WAIT = "tracking: 2 events wait to be sent"


def test_what_waits_is_told_and_sent(known, monkeypatch):
    assert f"{WAIT}: `mmsr study sync small` sends them" in mmsr("study", "status", "small")[1]
    code, out = mmsr("study", "sync", "small")
    assert code == 1
    assert f"{WAIT} (the server is away: no route)" in out
    monkeypatch.setattr(Server, "error", None)
    assert mmsr("study", "sync", "small") == (0, "tracking: nothing waits to be sent")
    assert mmsr("study", "sync", "small") == (0, "tracking: nothing waits to be sent")
    assert "tracking: " not in mmsr("study", "status", "small")[1]
    with known.folder.locked():
        assert mmsr("study", "sync", "small")[0] != 0


def test_what_is_refused_is_told(known, monkeypatch):
    monkeypatch.setattr(Server, "error", Refused("[/never]"))
    code, out = mmsr("study", "sync", "small")
    assert code == 1
    assert "refused something ([/never])" in out
    assert "tracking: the server refused 2 events: `mmsr study sync small` tries again" in out


def test_what_is_lost_is_told(known, monkeypatch):
    monkeypatch.setattr(Server, "error", None)
    (known.folder.path / "tracking.jsonl").write_text("")
    code, out = mmsr("study", "sync", "small")
    assert code == 0
    assert "tracking: 2 events are missing: the journal was damaged" in out
    assert out.endswith("tracking: nothing waits to be sent")


def test_a_study_without_a_journal_here_is_not_sent(known, tmp_path, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(tmp_path / "elsewhere"))
    done = CliRunner().invoke(app, ["study", "sync", "small", "--storage", known.storage.reveal()])
    assert isinstance(done.exception, UserError)
    assert "study 'small' has no journal in " in str(done.exception)
    assert not (tmp_path / "elsewhere" / "studies" / "small").exists()


def test_a_server_that_is_away_is_not_waited_for(known):
    code, out = mmsr("study", "sync", "small", "--tracking-uri", "http://127.0.0.1:9")
    assert code == 1
    assert "cannot be reached" in out
    assert "events wait" in out


def test_a_study_starts_though_mlflow_is_away(small_study, study_home):
    plan = make_plan(small_study, Options(name="small", tracking_uri="http://127.0.0.1:9"))
    assert "tracking server http://127.0.0.1:9 cannot be reached" in plan.site.away

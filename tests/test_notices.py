"""Notices, sent to a server of the test's own."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmsr import notices, provenance
from mmsr.errors import UserError
from mmsr.notices import Receiver
from mmsr.study.driver.notices import about_study, notified
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.results.outcome import Ended, Outcome
from mmsr.study.storage.budget import BUDGET, SPENT
from mmsr.study.workers import head

SECRET = "T0P5ecr3t"


class Inbox(BaseHTTPRequestHandler):
    """Keeps what it is sent, and answers with the server's `status`."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Authorization"], json.loads(body)))
        if self.server.status is None:  # never
            self.server.late.wait(30)
            return
        if self.server.status == "drips":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.server.late.wait(0.1):
                self.wfile.write(b"X-More: 1\r\n")
            return
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_):
        """Stay quiet."""


@pytest.fixture
def inbox():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Inbox)
    server.got, server.status, server.late = [], 200, threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}/hook/{SECRET}"
    yield server
    server.late.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_notice_arrives_once_as_json(inbox):
    assert Receiver.named(inbox.url).send({"text": "done"}) is None
    assert inbox.got == [(f"/hook/{SECRET}", None, {"text": "done"})]
    with_user = inbox.url.replace("http://", "http://me:p%40ss@")
    assert Receiver.named(with_user).send({}) is None
    assert inbox.got[1][1] == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_the_receiver_answers_is_said_without_the_url(inbox, status):
    inbox.status = status
    receiver = Receiver.named(inbox.url)
    assert receiver.send({}) == f"it answers {status}"
    assert len(inbox.got) == 1, "nothing is sent elsewhere"
    assert SECRET not in repr(receiver)


def test_a_receiver_that_does_not_answer_is_given_up(inbox, monkeypatch):
    inbox.status = None
    monkeypatch.setattr(notices, "_SECONDS", 0.2)
    assert "does not answer within" in Receiver.named(inbox.url).send({})


def test_a_receiver_that_answers_drop_by_drop_is_given_up(inbox, monkeypatch):
    inbox.status = "drips"
    monkeypatch.setattr(notices, "_SECONDS", 0.5)
    begun = time.monotonic()
    assert "does not answer within" in Receiver.named(inbox.url).send({})
    assert time.monotonic() - begun < 3


def test_a_receiver_that_is_not_there():
    assert Receiver.named("http://127.0.0.1:9/x").send({}) == "Connection refused"
    assert Receiver.named("http://no.such.host.invalid/x").send({}) is not None


@pytest.mark.parametrize(
    "url", [f"slack:{SECRET}", f"ftp://h/{SECRET}", "http://", f"http://[{SECRET}"]
)
def test_what_is_no_url_is_refused_and_not_repeated(url, monkeypatch):
    with pytest.raises(
        UserError, match=r"--notify: that is no URL: give http://HOST/PATH"
    ) as error:
        Receiver.named(url)
    assert SECRET not in str(error.value)
    monkeypatch.setenv("MMSR_NOTIFY", url)
    with pytest.raises(UserError, match="MMSR_NOTIFY: that is no URL"):
        Receiver.named(None)


def test_without_a_url_nobody_is_told(monkeypatch):
    monkeypatch.delenv("MMSR_NOTIFY", raising=False)
    assert Receiver.named(None) is None
    assert notified(None, "it", pytest.fail, lambda: 3) == 3


@pytest.mark.parametrize(
    ("code", "complete", "event"),
    [(0, True, "finished"), (0, False, "waits"), (130, False, "waits"), (1, True, "failed")],
)
def test_the_event_follows_from_how_it_ended(inbox, code, complete, event):
    receiver = Receiver.named(inbox.url)
    ends = iter([{}, {"complete": complete}])
    assert notified(receiver, "study x", lambda: next(ends), lambda: code) == code
    ((_, _, notice),) = inbox.got
    assert (notice["event"], notice["exit_code"], notice["error"]) == (event, code, None)
    assert notice["text"].startswith("study x ")


def test_an_error_is_told_and_raised(inbox):
    def fail():
        raise RuntimeError("no trial can continue")

    def about():
        raise OSError("the storage is away, too")

    with pytest.raises(RuntimeError, match="no trial"):
        notified(Receiver.named(inbox.url), "study x", about, fail)
    ((_, _, notice),) = inbox.got
    assert (notice["event"], notice["error"]) == ("failed", "no trial can continue")
    assert notice["text"].endswith("; no trial can continue")


def test_nothing_is_sent_where_nothing_ran(inbox):
    def refuse():
        raise UserError("no node can run it")

    receiver = Receiver.named(inbox.url)
    with pytest.raises(UserError, match="no node"):
        notified(receiver, "study x", dict, refuse)
    assert notified(receiver, "study x", lambda: {"trials": 3, "complete": True}, lambda: 0) == 0
    assert inbox.got == []
    done = iter([3, 4])
    with pytest.raises(UserError, match="no node"):
        notified(receiver, "study x", lambda: {"done": next(done)}, refuse)
    assert [notice["event"] for _, _, notice in inbox.got] == ["failed"]


def test_a_used_up_budget_waits(inbox, small_study, study_home, opened_study):
    plan = make_plan(small_study, Options(hours=1.0))
    study = None

    def run():
        nonlocal study
        study = opened_study(plan, "python shop.py")
        study.set_user_attr(BUDGET, {"hours": 1.0})
        study.set_user_attr(SPENT, {"hours": 2.0})
        return 0

    def about():
        return about_study(plan.name, plan.storage, plan.tracking)

    assert notified(Receiver.named(inbox.url), "study shop", about, run) == 0
    assert plan.progress(study).is_over
    ((_, _, notice),) = inbox.got
    assert (notice["event"], notice["complete"]) == ("waits", False)


def test_a_driver_that_must_be_ended_tells_before(inbox, monkeypatch):
    codes = []
    monkeypatch.setattr(head, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(head, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(head, "_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(head.local_ray, "end", lambda: None)
    monkeypatch.setattr(head.os, "_exit", codes.append)

    def run():
        head._watch("127.0.0.1:9", lambda reason: None, 1, threading.Event())
        told = [(notice["event"], notice["error"]) for _, _, notice in inbox.got]
        assert told == [("failed", "Ray's head at 127.0.0.1:9 has died")]
        return 1

    notified(Receiver.named(inbox.url), "study x", dict, run)
    assert codes == [1]
    assert head._before_exit == []


def test_a_lost_notice_is_a_warning_and_changes_nothing(inbox, capsys):
    inbox.status = 500
    assert notified(Receiver.named(inbox.url), "study x", dict, lambda: 0) == 0
    out, err = capsys.readouterr()
    assert err == f"warning: the notice did not reach 127.0.0.1:{inbox.server_address[1]}: " + (
        "it answers 500\n"
    )
    assert SECRET not in out + err


def test_a_study_checks_the_url_before_it_runs_and_tells_how_it_ended(
    inbox, small_study, study_home, opened_study, monkeypatch
):
    with pytest.raises(UserError, match="--notify: that is no URL"):
        small_study.dry_run(Options(notify="nowhere"))

    def run(plan):
        opened_study(plan, "python shop.py")
        return Outcome(Ended.INTERRUPTED)

    monkeypatch.setattr("mmsr.study.driver.run.run_study", run)
    assert small_study.run(Options(notify=inbox.url)).ended is Ended.INTERRUPTED
    ((_, _, notice),) = inbox.got
    assert (notice["event"], notice["study"]) == ("waits", "shop")
    assert notice["trials"] == {"done": 0, "wanted": 4, "finished": 0, "pruned": 0, "failed": 0}
    assert "study shop waits to be resumed after " in notice["text"]
    assert "0 of 4 trials done" in notice["text"]


@pytest.mark.parametrize("option", [["--notify", "URL"], ["--notify=URL"]])
def test_the_url_is_stored_with_no_command(monkeypatch, option):
    words = [word.replace("URL", f"https://h/{SECRET}") for word in option]
    monkeypatch.setattr("sys.argv", ["/x/toys.py", *words, "--trials", "3"])
    monkeypatch.setattr(provenance, "is_interactive", lambda: False)
    assert provenance.command_line() == "toys.py --trials 3"
    assert provenance.words() == ["/x/toys.py", "--trials", "3"]

"""Notices, sent to a server of the test's own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmsr import notices, provenance
from mmsr.errors import UserError
from mmsr.notices import Receiver
from mmsr.study import Study
from mmsr.study.driver.notices import notified
from mmsr.study.planning.declaration import Options
from mmsr.study.results.outcome import Ended, Outcome

SECRET = "T0P5ecr3t"


class Inbox(BaseHTTPRequestHandler):
    """Keeps what it is sent, and answers with the server's `status`."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Authorization"], json.loads(body)))
        if self.server.status is None:  # never
            self.server.late.wait(30)
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
    assert notified(receiver, "study x", lambda: {"complete": complete}, lambda: code) == code
    ((_, _, notice),) = inbox.got
    assert (notice["event"], notice["exit_code"], notice["error"]) == (event, code, None)
    assert notice["text"].startswith("study x ")


def test_an_error_is_told_and_raised(inbox):
    def fail():
        raise UserError("no node can run it")

    def about():
        raise OSError("the storage is away, too")

    with pytest.raises(UserError, match="no node"):
        notified(Receiver.named(inbox.url), "study x", about, fail)
    ((_, _, notice),) = inbox.got
    assert (notice["event"], notice["error"]) == ("failed", "no node can run it")
    assert notice["text"].endswith("; no node can run it")


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
    assert isinstance(small_study, Study)
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
    assert provenance.command_line() == "toys.py --trials 3"
    assert provenance.words() == ["/x/toys.py", "--trials", "3"]

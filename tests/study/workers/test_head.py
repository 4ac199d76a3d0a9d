"""A dead head: who is told, and how a driver that cannot leave Ray ends."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import pytest

from mmsr.study.workers import head

CODE = 3


class Ended(BaseException):
    """In place of the end of this process."""


@pytest.fixture
def watch(monkeypatch):
    """`_watch`, in milliseconds; what it said, and with what code it ended the process."""
    monkeypatch.setattr(head, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(head, "_PATIENCE_SECONDS", 0.03)
    monkeypatch.setattr(head, "_GRACE_SECONDS", 0.1)

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr("os._exit", end)

    def run(
        address: str, *, left: bool, connected_to: str | None, borrowed: bool = False
    ) -> SimpleNamespace:
        monkeypatch.setattr("ray.is_initialized", lambda: connected_to is not None)
        monkeypatch.setattr(
            "ray.get_runtime_context", lambda: SimpleNamespace(gcs_address=connected_to)
        )
        over, said = threading.Event(), []

        def halt(what: str) -> None:
            said.append(what)
            if left:
                over.set()

        try:
            head._watch(address, halt, CODE, over, borrowed)
        except Ended as ended:
            return SimpleNamespace(said=said, code=ended.args[0])
        return SimpleNamespace(said=said, code=None)

    return run


@pytest.fixture
def dead():
    """An address that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("connected_to", [None, "127.0.0.1:1"])
def test_a_driver_that_has_left_the_head_goes_on(watch, dead, connected_to, capsys):
    seen = watch(dead, left=True, connected_to=connected_to)
    assert seen.said == [f"Ray's head at {dead} has died"]
    assert seen.code is None
    assert capsys.readouterr().err == ""


def test_a_process_that_keeps_its_ray_is_not_ended_after_the_study(watch, dead, capsys):
    seen = watch(dead, left=True, connected_to=dead, borrowed=True)
    assert seen.said == [f"Ray's head at {dead} has died"]
    assert seen.code is None
    assert capsys.readouterr().err == ""
    assert watch(dead, left=False, connected_to=dead, borrowed=True).code == CODE


@pytest.mark.parametrize("left", [True, False])
def test_a_driver_that_hangs_in_ray_is_ended(watch, dead, left, capsys):
    seen = watch(dead, left=left, connected_to=dead)
    assert seen.said == [f"Ray's head at {dead} has died"]
    assert seen.code == CODE
    assert "once it is back, the same command resumes the study" in capsys.readouterr().err


def test_nobody_is_told_while_the_head_answers(monkeypatch):
    monkeypatch.setattr(head, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(head, "_PATIENCE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        over, said = threading.Event(), []
        arguments = (address, said.append, CODE, over)
        thread = threading.Thread(target=head._watch, args=arguments)
        thread.start()
        for _ in range(5):  # asked so often that it has decided each time
            server.accept()[0].close()
        over.set()
        thread.join()
    assert said == []

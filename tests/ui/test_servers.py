"""Servers of `mmsr ui`: started, waited for, and gone with all that they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from mmsr.errors import UserError
from mmsr.ui import servers
from mmsr.ui.servers import ServerDied, free_ports, running, watch

BOTH = ["MLflow", "optuna-dashboard"]
SERVER = """
import sys
from http.server import SimpleHTTPRequestHandler, test
test(SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""
WITH_CHILD = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SERVER!r}, sys.argv[1]])
child.wait()
"""


def command(code: str, port: int) -> tuple[int, list[str], dict[str, str]]:
    return port, [sys.executable, "-c", code, str(port)], {}


def group_of(leader: int) -> list[psutil.Process]:
    """The living processes of a process group."""
    found = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and os.getpgid(process.pid) == leader:
                found.append(process)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return found


def gone(leader: int) -> bool:
    """Whether a process group is gone, soon."""
    deadline = time.monotonic() + 20
    while group_of(leader) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not group_of(leader)


def test_servers_answer_and_are_gone_afterwards_with_their_children():
    first, second = free_ports(BOTH).values()
    wanted = {"a": command(SERVER, first), "b": command(WITH_CHILD, second)}
    with running(wanted) as started:
        for server in started.values():
            server.wait("/")
            server.check()
        leaders = [server.process.pid for server in started.values()]
        assert [len(group_of(leader)) for leader in leaders] == [2, 3]
    assert [group_of(leader) for leader in leaders] == [[], []]


@pytest.mark.parametrize("which", ["keeper", "server", "child"])
def test_a_server_that_is_killed_is_noticed_and_leaves_nothing(which):
    with running({"b": command(WITH_CHILD, free_ports(["a"])["a"])}) as started:
        started["b"].wait("/")
        leader = started["b"].process.pid
        kept = sorted(group_of(leader), key=lambda process: process.create_time())
        kept[["keeper", "server", "child"].index(which)].send_signal(signal.SIGKILL)
        with pytest.raises(ServerDied, match="b has ended"):
            watch(list(started.values()))
    assert gone(leader)


def test_loopback_is_reached_past_a_proxy(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with running({"a": command(SERVER, free_ports(["a"])["a"])}) as started:
        started["a"].wait("/")


def test_a_server_that_does_not_start_says_why(monkeypatch):
    broken = {"a": command("raise SystemExit('no database')", 1)}
    with running(broken) as started, pytest.raises(ServerDied, match="a has ended: no database"):
        started["a"].wait("/")
    monkeypatch.setattr(servers, "PATIENCE", 0.0)
    silent = {"a": command("import time; time.sleep(60)", 1)}
    with running(silent) as started, pytest.raises(ServerDied, match="a does not answer"):
        started["a"].wait("/")


def test_an_error_is_told_rather_than_what_follows_it():
    code = "print('DatabaseError: locked\\nDone.')"
    broken = {"a": (1, [sys.executable, "-c", code], {})}
    told = "a has ended: DatabaseError: locked; run the command again, or give another --port"
    with running(broken) as started, pytest.raises(ServerDied, match=told):
        started["a"].wait("/")


def test_a_port_whose_owner_speaks_something_else_is_waited_for(monkeypatch):
    code = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    one, _ = server.accept()
    one.recv(1000)
    one.sendall(b"220 hello\\r\\n\\r\\n")
    one.close()
"""
    monkeypatch.setattr(servers, "PATIENCE", 2.0)
    wanted = {"a": command(code, free_ports(["a"])["a"])}
    with running(wanted) as started, pytest.raises(ServerDied, match="does not answer"):
        started["a"].wait("/")


def test_a_port_that_is_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be used .* leave --port out"):
            free_ports(BOTH, port - 1)
        mlflow_has_a_server = ["optuna-dashboard"]
        with pytest.raises(UserError, match=f"port {port} "):
            free_ports(mlflow_has_a_server, port - 1)
    first, second = free_ports(BOTH).values()
    assert first != second


def test_servers_end_with_a_parent_that_is_killed(tmp_path):
    code = (
        "import sys, time\n"
        "from mmsr.ui.servers import running\n"
        "with running({'a': (1, [sys.executable, '-c', 'import time; time.sleep(600)'], {})}) as s:"
        "\n    print(s['a'].process.pid, flush=True)\n    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    leader = int(parent.stdout.readline())
    assert group_of(leader)
    parent.kill()
    parent.wait()
    assert gone(leader)

"""Watches the head of a Ray cluster: if it dies, Ray ends a driver without any message."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mmsr.provenance import the_same
from mmsr.study.workers import local_ray

_LOOK_SECONDS = 2.0
_PATIENCE_SECONDS = 15.0
"""Without an answer for this long, the head is dead; a busy one still accepts connections."""
_GRACE_SECONDS = 30.0
"""The driver may take this long to end in good order; then its process is ended."""

_before_exit: list[Callable[[str], None]] = []


@contextmanager
def before_exit(call: Callable[[str], None]) -> Iterator[None]:
    """Have something called with the reason if this process must be ended, inside this context."""
    _before_exit.append(call)
    try:
        yield
    finally:
        _before_exit.remove(call)


@contextmanager
def watched_head(halt: Callable[[str], None], code: int, borrowed: bool = False) -> Iterator[None]:
    """Watch the head of the cluster that this process is connected to, inside this context.

    The study's storage and the tracker's journal are on disk, so ending at once loses nothing; only
    Ray would hang, waiting for its head.

    Parameters
    ----------
    halt : called once, from another thread, with a message when the head is dead.
    code : exit code of a process that then cannot end in good order.
    borrowed : whether the process stays connected when the study has ended, and may do as it likes.
    """
    import ray

    address = ray.get_runtime_context().gcs_address
    over = threading.Event()
    arguments = (address, halt, code, over, borrowed)
    threading.Thread(target=_watch, args=arguments, name="head", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(
    address: str,
    halt: Callable[[str], None],
    code: int,
    over: threading.Event,
    borrowed: bool = False,
) -> None:
    answered = time.monotonic()
    while not over.wait(_LOOK_SECONDS):
        if _answers(address):
            answered = time.monotonic()
        elif time.monotonic() - answered > _PATIENCE_SECONDS:
            break
    else:
        return
    what = f"Ray's head at {address} has died"
    halt(what)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline:  # a process that ends by then ends this thread, too
        if over.is_set() and (borrowed or not _is_connected_to(address)):
            return  # it has left that head or need not leave it, and does something else
        time.sleep(_LOOK_SECONDS)
    sys.stderr.write(f"error: {what}; once it is back, {the_same()} resumes the study\n")
    sys.stderr.flush()
    sys.stdout.flush()
    for call in _before_exit:
        with suppress(Exception):
            call(what)
    local_ray.end()
    os._exit(code)


def _is_connected_to(address: str) -> bool:
    import ray

    return ray.is_initialized() and ray.get_runtime_context().gcs_address == address


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _LOOK_SECONDS).close()
    except OSError:
        return False
    return True

"""A web server that fails on request, and that notes how it was asked."""

from __future__ import annotations

import gzip
import hashlib
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmsr.data.catalogue import fetch as fetching
from mmsr.data.catalogue.entries import Entry, File

REVIEWS = "reviews_Toys_and_Games_5.json.gz"


def packed(length: int, seed: int) -> bytes:
    """A gzip file of that length with random bytes."""
    content = gzip.compress(random.Random(seed).randbytes(length - 200), 0, mtime=0)
    return content.ljust(length, b"\0")  # which the format allows


CONTENT, OTHER = packed(700_000, 1), packed(700_000, 2)


@dataclass(frozen=True)
class Fault:
    """How one answer differs from that of a server that does everything right."""

    status: int | None = None
    """Nothing but this."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers beside the usual ones."""
    cut: int | None = None
    """The connection breaks after so many bytes of the body."""
    no_ranges: bool = False
    blind: bool = False
    """If-Range is ignored."""
    mute: bool = False
    """An answer to a range does not say which version it is of."""
    length: int | None = None
    """Content-Length, whatever is true; negative for none."""
    chunked: bool = False
    then: Callable[[], None] = lambda: None
    """Called after the answer."""


class Site:
    """Files on a web server, what it is to do wrong, and the headers of all requests.

    Faults are used up one by one; afterwards, the server does everything right.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[dict[str, str]] = []
        self.validator: str | None = "ETag"
        """The header that shows which version a file is of: ETag, Last-Modified or none."""
        self.url = ""

    def ranges(self) -> list[str | None]:
        """The header Range of each request."""
        return [headers.get("range") for headers in self.requests]

    def version(self, name: str) -> str:
        """What that header says of a file: a strong ETag, or a time made of its content."""
        digest = hashlib.md5(self.files[name]).hexdigest()
        if self.validator == "Last-Modified":
            return formatdate(int(digest[:7], 16), usegmt=True)
        return f'"{digest}"'


def handler_of(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fault = site.faults.pop(0) if site.faults else Fault()
            site.requests.append({key.lower(): value for key, value in self.headers.items()})
            self.close_connection = True
            name = self.path.lstrip("/")
            if fault.status or name not in site.files:
                body = b"no such luck"
                self.send_response(fault.status or 404)
            else:
                body = self.body_of(name, fault)
            for key, value in fault.headers.items():
                self.send_header(key, value)
            length = len(body) if fault.length is None else fault.length
            if fault.chunked:
                self.send_header("Transfer-Encoding", "chunked")
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            elif length >= 0:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body[: fault.cut])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            fault.then()

        def body_of(self, name: str, fault: Fault) -> bytes:
            """Send status and headers of a file that is there; its body."""
            content, version = site.files[name], site.version(name)
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            current = fault.blind or self.headers.get("If-Range", version) == version
            if wanted and current and not fault.no_ranges:
                first = int(wanted[1])
                if first >= len(content):
                    self.send_response(416)
                    return b""
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}"
                )
            else:
                first = 0
                self.send_response(200)
            if site.validator and not (first and fault.mute):
                self.send_header(site.validator, version)
            return content[first:]

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@contextmanager
def running() -> Iterator[Site]:
    """Context with a server on this machine."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(site))
    server.handle_error = lambda *arguments: None  # clients leave when they have seen enough
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def publish(site: Site, monkeypatch: pytest.MonkeyPatch, **known: object) -> None:
    """Replace the catalogue by an entry `toys` whose one file is on the server."""
    file = File("reviews", REVIEWS, f"{site.url}/{REVIEWS}", **known)
    own = Entry("toys", "Toys", "amazon2014", None, (file,), "")
    monkeypatch.setattr(fetching, "entry", lambda name: own)


def sha256(content: bytes) -> str:
    """A checksum as the catalogue has it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def files(folder: Path) -> set[str]:
    """Names in a folder."""
    return {path.name for path in folder.iterdir()}

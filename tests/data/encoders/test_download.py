"""Images by URL from a server of this machine that fails in every way."""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from mmsr import paths
from mmsr.data.encoders import download
from mmsr.data.progress import Silent


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Counts the requests of each path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        with self.server.lock:
            self.server.asked[self.path] += 1
            count = self.server.asked[self.path]
        kind, _, rest = self.path.partition("?")[0].strip("/").partition("/")
        number = int(rest.partition("?")[0] or 0)
        data = png((number, 0, 0))
        if kind == "busy" and count < 3:
            self.answer(503)
        elif kind == "gone":
            self.answer(404)
        elif kind == "moved":
            self.answer(302, headers={"Location": f"/ok/{number}"})
        elif (kind == "cut" and count < 2) or kind == "always-cut":
            self.answer(200, data[:20], {"Content-Length": str(len(data))})
        elif kind == "file":
            self.answer(302, headers={"Location": "file:///etc/hostname"})
        elif kind == "dropped":
            self.connection.close()
        elif kind == "broken" and count < 2:
            self.answer(200, data[: len(data) // 2])
        elif kind == "page" or (kind == "late" and count < 2):
            self.answer(200, b"<html>not found</html>")
        elif kind == "large":
            self.answer(200, bytes(200_000))
        else:
            self.answer(200, data)

    def answer(self, status: int, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
        headers = {"Content-Length": str(len(data))} | (headers or {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    monkeypatch.setattr(download, "LARGEST", 100_000)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_images_are_fetched_once_and_what_fails_is_listed(shop, server):
    kinds = ("ok/1", "busy/2", "gone", "moved/4", "cut/5", "always-cut", "file", "dropped", "page")
    urls: list[str | None] = [server.url(f"/{kind}") for kind in kinds]
    urls += [server.url("/large"), None, server.url("/ok/1")]
    settings = {"image_encoder": "fakes:Colours"}
    made = shop.make({"image": urls}, **settings)
    assert shop.vectors(made, "image") == {
        "i0": [1, 0, 0, 1],
        "i1": [2, 0, 0, 1],
        "i3": [4, 0, 0, 1],
        "i4": [5, 0, 0, 1],
        "i11": [1, 0, 0, 1],
    }
    with (paths.datasets() / "d" / "without_vectors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {row["item_id"]: row["reason"] for row in rows}
    assert found == {
        "i2": "HTTP 404",
        "i5": "cut off",
        "i6": "cannot be fetched (InvalidSchema)",
        "i7": "no answer",
        "i8": "no image",
        "i9": "larger than 0 MB",
        "i10": "nothing given",
    }
    assert {row["source"] for row in rows} >= {urls[2], urls[5], urls[9]}
    assert server.asked["/busy/2"] == 3
    assert server.asked["/gone"] == 1
    before = server.asked.copy()
    again = shop.make({"image": urls}, overwrite=True, **settings)
    assert again.dataset.content_hash == made.dataset.content_hash
    new = server.asked - before
    assert not {"/ok/1", "/busy/2", "/moved/4", "/cut/5"} & new.keys()
    assert new["/gone"] == new["/page"] == 1, "what failed is tried again"
    assert len([path for path in paths.images_cache().rglob("*") if path.is_file()]) == 4


def test_a_page_in_place_of_an_image_is_not_kept(shop, server):
    urls = [server.url(f"/{kind}") for kind in ("late/1", "broken/2", "ok/3", "ok/4")]
    items = {"image": [*urls, *[None] * 8]}
    made = shop.make(items, image_encoder="fakes:Colours")
    assert set(shop.vectors(made, "image")) == {"i2", "i3"}
    made = shop.make(items, overwrite=True, image_encoder="fakes:Colours")
    assert shop.vectors(made, "image")["i0"] == [1, 0, 0, 1]
    assert shop.vectors(made, "image")["i1"] == [2, 0, 0, 1]


def test_a_silent_host_is_soon_left_alone(home, server, monkeypatch):
    monkeypatch.setattr(download, "_GIVE_UP", 4)
    monkeypatch.setattr(download, "_AT_ONCE", 1)
    urls = [server.url(f"/dropped/{i}") for i in range(30)]
    found = download.fetch_images(urls, Silent())
    assert list(found.values()) == ["no answer"] * 4 + ["its host did not answer before"] * 26
    assert len(server.asked) == 4


def test_a_url_that_is_none_is_listed(home):
    found = download.fetch_images(["http://", "http://[", "http://\x00/"], Silent())
    assert all(isinstance(problem, str) for problem in found.values())
    assert not list(paths.images_cache().rglob("*.draft"))


def test_secrets_of_urls_are_not_written(shop, server):
    secret = server.url("/gone?token=hunter2").replace("http://", "http://ada:hunter2@")
    shop.make(
        {"image": [secret, server.url("/ok/1"), server.url("/ok/2"), *[None] * 9]},
        image_encoder="fakes:Colours",
    )
    listed = (paths.datasets() / "d" / "without_vectors.csv").read_text()
    assert "HTTP 404" in listed
    assert "hunter2" not in listed + "".join(shop.said)

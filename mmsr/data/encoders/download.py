"""Fetching images by URL: with retries and limits, each once, into a cache."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from mmsr import paths
from mmsr.data.encoders.images import LARGEST, Unreadable, open_image, pixels_limited
from mmsr.data.folders import cannot
from mmsr.data.progress import Reporter

_AT_ONCE = 8
"""URLs that are fetched at the same time."""
_TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and without a byte."""
_TRIES = 3
"""Retries of a URL whose server is busy or silent."""
_GIVE_UP = 16
"""Failures of a host to answer, in a row, after which it is asked no more."""
_PAUSE = 1.0
"""Seconds before the second retry; each further one waits twice as long."""
_LONGEST_PAUSE = 30
"""Most seconds that are waited, whatever a server asks for."""
_BUSY = (429, 500, 502, 503, 504)


def fetch_images(urls: Iterable[str], reporter: Reporter) -> dict[str, Path | str]:
    """Fetch images that are not in the cache yet; only what can be read as an image enters it.

    Parameters
    ----------
    urls : their URLs, `http` or `https`.
    reporter : shows the progress.

    Returns
    -------
    By URL: its file in the cache, or why it could not be fetched.

    Raises
    ------
    UserError : the cache cannot be written.
    """
    files = {url: _file(url) for url in urls}
    found: dict[str, Path | str] = {url: path for url, path in files.items() if path.is_file()}
    wanted = [url for url in files if url not in found]
    if not wanted:
        return found
    fetcher = _Fetcher()
    with (
        reporter.stage("fetching images", len(wanted)) as advance,
        pixels_limited(),
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        try:
            tried = pool.map(lambda url: fetcher.fetch(url, files[url]), wanted)
            for url, problem in zip(wanted, tried, strict=True):
                found[url] = problem or files[url]
                advance(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return found


def _file(url: str) -> Path:
    digest = hashlib.sha256(url.encode()).hexdigest()
    return paths.images_cache() / digest[:2] / digest


class _Fetcher:
    """Fetches files in several threads; a host that never answers is soon left alone."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._silent: Counter[str] = Counter()

    def fetch(self, url: str, path: Path) -> str | None:
        """Fetch an image into a file; why it could not be fetched.

        Raises
        ------
        UserError : the file cannot be written.
        """
        try:
            host = urlsplit(url).netloc.rpartition("@")[2]
        except ValueError:
            return "no URL"
        if self._silent[host] >= _GIVE_UP:
            return "its host did not answer before"
        try:
            data = self._read(url)
        except requests.exceptions.ChunkedEncodingError:
            return "cut off"
        except (requests.ConnectionError, requests.Timeout):
            self._silent[host] += 1
            return "no answer"
        except (requests.RequestException, ValueError) as error:
            return f"cannot be fetched ({type(error).__name__})"
        self._silent[host] = 0
        if isinstance(data, str):
            return data
        try:
            open_image(data)
        except Unreadable as error:
            return str(error)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            paths.write_whole(path, data)
        except OSError as error:
            raise cannot("write", path, error) from None
        return None

    def _read(self, url: str) -> bytes | str:
        """The bytes, or what is wrong with the answer."""
        for again in reversed(range(_TRIES)):
            try:
                return self._answer(url)
            except requests.exceptions.ChunkedEncodingError:
                if not again:
                    raise
        raise AssertionError("there is one try at least")

    def _answer(self, url: str) -> bytes | str:
        with self._session().get(url, stream=True, timeout=_TIMEOUT) as answer:
            if answer.status_code != requests.codes.ok:
                return f"HTTP {answer.status_code}"
            data = bytearray()
            for block in answer.iter_content(1 << 16):
                data += block
                if len(data) > LARGEST:
                    return f"larger than {LARGEST >> 20} MB"
        return bytes(data)

    def _session(self) -> requests.Session:
        """A session of this thread."""
        if not hasattr(self._local, "session"):
            retry = Retry(
                total=_TRIES,
                status_forcelist=_BUSY,
                backoff_factor=_PAUSE,
                backoff_max=_LONGEST_PAUSE,
                retry_after_max=_LONGEST_PAUSE,
                raise_on_status=False,
            )
            self._local.session = requests.Session()
            for scheme in ("http://", "https://"):
                self._local.session.mount(scheme, HTTPAdapter(max_retries=retry))
        return self._local.session  # type: ignore[no-any-return]  # threading.local holds anything

"""A file over HTTP: resumed by ranges, and tried again where the connection or the server fails."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import requests
import urllib3

from mmsr.data.catalogue.entries import File
from mmsr.data.catalogue.partial import Partial, Version
from mmsr.data.catalogue.retries import Retries, wanted_pause
from mmsr.data.folders import cannot
from mmsr.data.progress import Reporter
from mmsr.errors import UserError
from mmsr.format import brief_seconds, data_size, seconds
from mmsr.urls import Url

_TIMEOUT = (15, 60)
"""Seconds to wait for a connection, and for more bytes."""
_BLOCK = 1 << 18
_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Errors below 500 that pass."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_PAGE = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)
_ELSEWHERE = "name a mirror or a folder with the file by --source"


class _Failed(Exception):
    """An attempt failed in a way that may pass; `wait` is the pause that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Download:
    """One file that is being downloaded.

    A connection that breaks is made again and goes on where it broke. A server that ignores ranges,
    or whose file has changed since, makes the download start anew.

    Parameters
    ----------
    url : where the file is.
    file : what the catalogue says of it.
    partial : gets the bytes.
    """

    def __init__(self, url: Url, file: File, partial: Partial) -> None:
        self._url = url
        self._file = file
        self._partial = partial
        self._sure = file.checksum is not None  # a mixture would be found

    def run(self, reporter: Reporter, retries: Retries) -> None:
        """Download what is missing; afterwards, the partial file is complete but not verified.

        Parameters
        ----------
        reporter : shows progress, and why there are pauses.
        retries : how often the server is asked again.

        Raises
        ------
        UserError : it is not there or something else, the server fails again and again, or the file
            cannot be written. What has come is kept.
        """
        failures, most = 0, self._partial.length
        with requests.Session() as session, self._writing():
            while not self._complete():
                try:
                    self._attempt(session, reporter)
                    return
                except _Failed as error:
                    failures = 0 if self._partial.length > most else failures + 1
                    most = max(most, self._partial.length)
                    self._give_up(error, failures, retries)
                    pause = max(error.wait, retries.pause(max(failures, 1)))
                    again = f"next attempt in {brief_seconds(pause)}"
                    reporter.note(f"{self._file.name}: {error}; {again}")
                    retries.sleep(pause)

    def _give_up(self, error: _Failed, failures: int, retries: Retries) -> None:
        if error.wait > retries.patience:
            raise self._error(f"{error}, and asks to wait {seconds(error.wait)}: try again then")
        if failures >= retries.attempts:
            raise self._error(
                f"{error}, {failures} times in a row: try again later, or {_ELSEWHERE}"
            )

    def _complete(self) -> bool:
        """Whether the last byte had come when an earlier run was ended."""
        version = self._partial.version(self._url.shown)
        return version is not None and version.size == self._partial.length

    def _attempt(self, session: requests.Session, reporter: Reporter) -> None:
        version = self._resumable()
        offset = self._partial.length if version else 0
        headers = {"Accept-Encoding": "identity"}
        if version is not None:
            headers["Range"] = f"bytes={offset}-"
            if version.validator:
                headers["If-Range"] = version.validator
        with self._failing():
            response = session.get(
                self._url.reveal(), headers=headers, stream=True, timeout=_TIMEOUT
            )
            with response:
                self._check_status(response)
                if response.status_code == HTTPStatus.PARTIAL_CONTENT:
                    self._check_same(response, version, offset)
                else:
                    if offset:
                        reporter.note(
                            f"{self._file.name}: starting anew, since the server ignores ranges or "
                            "has another version"
                        )
                    offset, version = 0, self._version(response)
                    self._partial.begin(version)
                self._receive(response, offset, version, reporter)

    def _resumable(self) -> Version | None:
        """The version of the bytes that are there, if more can follow them safely."""
        version = self._partial.version(self._url.shown)
        if version is None or not self._partial.length:
            return None
        return version if version.validator or self._sure else None

    def _check_status(self, response: requests.Response) -> None:
        status, headers = response.status_code, response.headers
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._partial.discard()
            raise _Failed("the server has not as many bytes as were received, starting anew")
        if status in _AGAIN or status >= 500:
            wait = wanted_pause(headers.get("Retry-After"))
            raise _Failed(f"the server answers {status} {response.reason}", wait)
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise self._error(f"the server answers {status} {response.reason}: {_ELSEWHERE}")
        if headers.get("Content-Type", "").startswith("text/html"):
            raise self._page()
        encoding = headers.get("Content-Encoding", "identity")
        if encoding != "identity" and not self._file.name.endswith(".gz"):
            raise self._error(f"the server sends it encoded as {encoding}: {_ELSEWHERE}")

    def _check_same(
        self, response: requests.Response, version: Version | None, offset: int
    ) -> None:
        """Check that the bytes of a partial answer follow those that are there."""
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if (
            version is None
            or found is None
            or int(found[1]) != offset
            or int(found[2]) != (version.size or int(found[2]))
            or not (self._sure or version.shown_by(response.headers))
        ):
            self._partial.discard()
            raise _Failed("the server does not show that the file is the same, starting anew")

    def _version(self, response: requests.Response) -> Version:
        headers = response.headers
        length = headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else None
        if size is None and "Transfer-Encoding" not in headers and not self._sure:
            raise self._error(f"the server does not say how long the file is: {_ELSEWHERE}")
        if None not in (size, self._file.size) and size != self._file.size:
            raise self._error(
                f"it has {size:,} bytes there, and the catalogue says {self._file.size:,}: "
                f"{_ELSEWHERE}"
            )
        return Version(
            url=self._url.shown,
            size=size,
            etag=headers.get("ETag"),
            modified=headers.get("Last-Modified"),
        )

    def _receive(
        self,
        response: requests.Response,
        offset: int,
        version: Version | None,
        reporter: Reporter,
    ) -> None:
        total = version.size if version else None
        self._check_space((total or 0) - offset)
        title = f"fetching {self._file.name}"
        title += f" ({data_size(total)})" if total is not None else ""
        title += f" from {data_size(offset)} on" if offset else ""
        with (
            reporter.stage(title, total) as advance,
            self._partial.path.open("ab" if offset else "wb") as target,
        ):
            advance(offset)
            while block := response.raw.read1(_BLOCK, decode_content=False):
                if not offset and _PAGE.match(block):
                    self._partial.discard()
                    raise self._page()
                target.write(block)
                offset += len(block)
                advance(len(block))
        if total is not None and offset != total:
            raise _Failed("the connection broke")

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self._partial.path.parent).free
        if needed > free:
            raise UserError(
                f"{self._file.name} needs {data_size(needed)} more in {self._partial.path.parent}, "
                f"where {data_size(free)} are free: make room, or move the home (MMSR_HOME)"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Context in which errors of the system are those of writing the partial file."""
        try:
            yield
        except OSError as error:
            raise cannot("write", self._partial.path, error) from None

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Context in which errors of the connection fail the attempt, and others the download."""
        try:
            yield
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise _Failed(_reason(error)) from None
        except requests.RequestException as error:
            raise self._error(f"{type(error).__name__}: {error}") from None

    def _page(self) -> UserError:
        return self._error(f"the server sends a web page in its place: {_ELSEWHERE}")

    def _error(self, message: str) -> UserError:
        return UserError(self._url.scrub(f"cannot fetch {self._url}: {message}"))


def _reason(error: BaseException) -> str:
    """Why a connection failed, in a few words: the system's, where it is an error of the system."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the server does not answer"
    seen: list[BaseException] = [error]
    for one in seen:
        more = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        seen += [cause for cause in more if isinstance(cause, BaseException) and cause not in seen]
    for one in reversed(seen):
        if isinstance(one, socket.gaierror):
            return "the host is not found"
        if isinstance(one, OSError) and one.errno and one.errno > 0:
            return os.strerror(one.errno)
    return "the connection broke"

"""Notices: one JSON document, sent to a URL when something that takes long has ended.

Chat services take the secret as a part of the URL's path, so of a URL no more is shown than its
host, and mmsr stores it nowhere. Of `--notify`, Ray keeps the command line of its driver, so a
secret belongs into the environment.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit

from mmsr.errors import UserError

VARIABLE = "MMSR_NOTIFY"
"""Environment variable with the URL, for who does not want it on a command line."""
OPTION = "--notify"
_SECONDS = 10.0
"""How long a receiver may take in all; a timeout of urllib counts anew with each byte."""


@dataclass(frozen=True)
class Receiver:
    """Where notices go."""

    host: str
    _url: str = field(repr=False)
    _user: str | None = field(default=None, repr=False)

    @classmethod
    def named(cls, url: str | None) -> Receiver | None:
        """The receiver of a URL that was given, or else of the environment; None without one.

        Parameters
        ----------
        url : an `http` or `https` URL.

        Raises
        ------
        UserError : it is no such URL. It is not repeated.
        """
        where = OPTION if url else VARIABLE
        if not (url := url or os.environ.get(VARIABLE)):
            return None
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https") or not url.isprintable():
            raise UserError(f"{where}: that is no URL: give http://HOST/PATH or https://HOST/PATH")
        shown = f"{host}:{port}" if port else host
        user = None
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        netloc = parts.netloc.rpartition("@")[2]
        return cls(shown, urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")), user)

    def send(self, notice: Mapping[str, Any]) -> str | None:
        """Send a notice, once; returns why it did not arrive, in words, or None if it did.

        Parameters
        ----------
        notice : plain values by name.
        """
        request = urllib.request.Request(
            self._url,
            data=json.dumps(notice, default=str).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "mmsr"},
            method="POST",
        )
        if self._user is not None:
            login = base64.b64encode(self._user.encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
        answers: list[str | None] = []
        sender = threading.Thread(target=lambda: answers.append(_answer(request)), daemon=True)
        sender.start()
        sender.join(_SECONDS)
        return answers[0] if answers else _late()


def _answer(request: urllib.request.Request) -> str | None:
    """Send a request; returns why it was not accepted, in words, or None if it was."""
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=_SECONDS):
            return None
    except HTTPError as error:
        return f"it answers {error.code}"
    except TimeoutError:
        return _late()
    except URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            return _late()
        number = reason.errno if isinstance(reason, OSError) else None
        # A name that is not found has a number of its own, below 0.
        return os.strerror(number) if number and number > 0 else "it cannot be reached"
    except (OSError, HTTPException, ValueError):  # their texts may repeat the URL
        return "it cannot be reached"


def _late() -> str:
    return f"it does not answer within {_SECONDS:.0f} seconds"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses to go elsewhere, where a POST would become a GET and the secret another's."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""

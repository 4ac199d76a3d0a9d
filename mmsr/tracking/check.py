"""The default place of tracking, and a check whether a place answers (without loading MLflow)."""

from __future__ import annotations

import base64
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mmsr import paths
from mmsr.errors import UserError
from mmsr.tracking.databases import Unreachable, check_database, sqlite_file
from mmsr.tracking.schema import check_schema
from mmsr.urls import Url, sqlite_url

TIMEOUT_SECONDS = 5.0
_USER, _PASSWORD, _TOKEN = (f"MLFLOW_TRACKING_{name}" for name in ("USERNAME", "PASSWORD", "TOKEN"))


def default_uri() -> str:
    """`$MLFLOW_TRACKING_URI`, where it is set; else the SQLite store under `$MMSR_HOME`.

    It may hold a password: `Url.parse` makes of it what can be shown.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI")
    return named or sqlite_url(paths.home() / "mlflow.db").reveal()


def check_tracking(given: str | Url) -> str | None:
    """Check quickly that a tracking server or store can be used.

    One that does not answer is not refused: what a study records waits until it does.

    Parameters
    ----------
    given : MLflow's tracking URI, of a server or a database.

    Raises
    ------
    UserError : MLflow cannot use the URI here.

    Returns
    -------
    Why it does not answer now; None where it does.
    """
    uri = Url.parse(given, "tracking URI")
    if uri.incomplete:
        raise UserError(
            f"the password of {uri} is not saved: give the whole URI by --tracking-uri, or set "
            f"{_USER} and {_PASSWORD}"
        )
    if uri.kind == "server":
        return _check_server(uri)
    if uri.kind == "database" and uri.shown.startswith(("sqlite", "postgresql", "mysql", "mssql")):
        try:
            check_database(uri, "tracking store")
            file = sqlite_file(uri)
            if file is None or file.exists():
                check_schema(uri)
        except Unreachable as error:
            return str(error)
    elif uri.kind != "databricks":
        raise UserError(
            f"tracking URI {uri!r}: give http://HOST:PORT of an MLflow server, or a database such "
            "as sqlite:////PATH/mlflow.db"
        )
    return None


def _check_server(uri: Url) -> str | None:
    address = uri.without_password().reveal()
    request = urllib.request.Request(f"{address}/api/2.0/mlflow/experiments/search?max_results=1")
    if (credentials := _credentials(uri)) is not None:
        request.add_unredirected_header("Authorization", credentials)
    advice = "start it with `mlflow server`, or leave --tracking-uri out for a local store"
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        if error.code == 401 and (credentials is not None or not _known_to_client()):
            refused = "refuses this user or token" if credentials else "demands a user or a token"
            raise UserError(
                f"tracking server {uri} {refused}: set {_USER} and {_PASSWORD}, or {_TOKEN}"
            ) from None
        if error.code in (401, 403):  # reachable; MLflow's client has credentials of its own
            return None
        if error.code >= 500 or error.code == 429:  # a proxy whose server is away, for one
            return f"tracking server {uri} is away: HTTP {error.code}"
        raise UserError(
            f"{uri} does not answer as an MLflow server does (HTTP {error.code}): {advice}"
        ) from None
    except OSError as error:
        reason = uri.scrub(str(getattr(error, "reason", None) or error))
        return f"tracking server {uri} cannot be reached: {reason}"
    except (HTTPException, ValueError) as error:
        reason = type(error).__name__ if isinstance(error, HTTPException) else uri.scrub(str(error))
        raise UserError(
            f"{uri} does not answer as an MLflow server does ({reason}): {advice}"
        ) from None


def _credentials(uri: Url) -> str | None:
    """The header by which MLflow's client names itself: from the URI, else the environment."""
    parts = urlsplit(uri.reveal())
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user:
        user, password = os.environ.get(_USER, ""), os.environ.get(_PASSWORD, "")
    if user and password:
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    token = os.environ.get(_TOKEN)
    return f"Bearer {token}" if token else None


def _known_to_client() -> bool:
    """Whether MLflow's client may have credentials from elsewhere, e.g. a file."""
    files = ("~/.mlflow/credentials", os.environ.get("NETRC") or "~/.netrc")
    named = (
        "MLFLOW_TRACKING_AUTH",
        "MLFLOW_TRACKING_AWS_SIGV4",
        "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    )
    return any(name in os.environ for name in named) or any(
        Path(file).expanduser().is_file() for file in files
    )

"""The default place of tracking, and a check whether a place answers (without loading MLflow)."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from http.client import HTTPException
from urllib.parse import urlsplit

from mmsr import paths
from mmsr.errors import UserError
from mmsr.tracking.databases import Unreachable, check_database, sqlite_file
from mmsr.tracking.schema import check_schema

TIMEOUT_SECONDS = 5.0


def default_uri() -> str:
    """`$MLFLOW_TRACKING_URI`, where it is set; else the SQLite store under `$MMSR_HOME`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.home() / 'mlflow.db'}"


def check_tracking(uri: str) -> str | None:
    """Check quickly that a tracking server or store can be used.

    One that does not answer is not refused: what a study records waits until it does.

    Parameters
    ----------
    uri : MLflow's tracking URI, of a server or a database.

    Raises
    ------
    UserError : MLflow cannot use the URI here.

    Returns
    -------
    Why it does not answer now; None where it does.
    """
    if ":***@" in uri:
        raise UserError(f"the password of {uri} is not saved: give the whole URI by --tracking-uri")
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme in ("http", "https"):
        return _check_server(uri)
    if scheme in ("sqlite", "postgresql", "mysql", "mssql"):
        try:
            check_database(uri, "tracking store")
            file = sqlite_file(uri)
            if file is None or file.exists():
                check_schema(uri)
        except Unreachable as error:
            return str(error)
    elif scheme != "databricks":
        raise UserError(
            f"tracking URI {uri!r}: give http://HOST:PORT of an MLflow server, or a database such "
            "as sqlite:////PATH/mlflow.db"
        )
    return None


def _check_server(uri: str) -> str | None:
    request = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
    advice = "start it with `mlflow server`, or leave --tracking-uri out for a local store"
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):  # reachable; MLflow's client brings its own credentials
            return None
        if error.code >= 500 or error.code == 429:  # a proxy whose server is away, for one
            return f"tracking server {uri} is away: HTTP {error.code}"
        raise UserError(
            f"{uri} does not answer as an MLflow server does (HTTP {error.code}): {advice}"
        ) from None
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        return f"tracking server {uri} cannot be reached: {reason}"
    except (HTTPException, ValueError) as error:
        reason = type(error).__name__ if isinstance(error, HTTPException) else error
        raise UserError(
            f"{uri} does not answer as an MLflow server does ({reason}): {advice}"
        ) from None

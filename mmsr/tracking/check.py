"""The default place of tracking, and a check whether a place answers (without loading MLflow)."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from mmsr import paths
from mmsr.errors import UserError
from mmsr.tracking.databases import check_database

TIMEOUT_SECONDS = 5.0


def default_uri() -> str:
    """`$MLFLOW_TRACKING_URI`, where it is set; else the SQLite store under `$MMSR_HOME`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.home() / 'mlflow.db'}"


def check_tracking(uri: str) -> None:
    """Check quickly that a tracking server or store answers.

    Parameters
    ----------
    uri : MLflow's tracking URI, of a server or a database.

    Raises
    ------
    UserError : it does not answer, or MLflow cannot use the URI here.
    """
    if ":***@" in uri:
        raise UserError(f"the password of {uri} is not saved: give the whole URI by --tracking-uri")
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme in ("http", "https"):
        _check_server(uri)
    elif scheme in ("sqlite", "postgresql", "mysql", "mssql"):
        check_database(uri, "tracking store")
    elif scheme != "databricks":
        raise UserError(
            f"tracking URI {uri!r}: give http://HOST:PORT of an MLflow server, or a database such "
            "as sqlite:////PATH/mlflow.db"
        )


def _check_server(uri: str) -> None:
    request = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
    advice = "start it with `mlflow server`, or leave --tracking-uri out for a local store"
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            return
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):  # reachable; MLflow's client brings its own credentials
            return
        raise UserError(
            f"{uri} does not answer as an MLflow server does (HTTP {error.code}): {advice}"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"tracking server {uri} cannot be reached: {reason}; {advice}") from None

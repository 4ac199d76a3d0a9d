"""Databases by URL: how they are recorded, and a quick check whether one can be used."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mmsr import paths
from mmsr.errors import UserError
from mmsr.urls import Url, sqlite_url

TIMEOUT_SECONDS = 5
_IN_HOME = f"sqlite:///{paths.IN_HOME}/"
"""How a record of a SQLite file of the home begins."""


def sqlite_file(url: str | Url) -> Path | None:
    """The file that a SQLite `url` names; None for another database, or one in memory."""
    from sqlalchemy import make_url

    whole = Url.parse(url).reveal()
    if not whole.startswith("sqlite"):
        return None
    name = make_url(whole).database
    return Path(name) if name and name != ":memory:" else None


def recorded(url: Url) -> str:
    """A URL as records name it: without secrets, a SQLite file of the home from there."""
    return url.shown.replace(f"{sqlite_url(paths.home())}/", _IN_HOME, 1)


def recalled(text: str, what: str = "storage") -> Url:
    """The URL that a record names; a SQLite file is found in a home that was moved.

    A secret that is not recorded is left to PostgreSQL's client if that has one (`PGPASSWORD`,
    `~/.pgpass`), and to MLflow's. Otherwise the URL is incomplete.

    Parameters
    ----------
    text : what `recorded` has returned, or an earlier version of mmsr has recorded.
    what : its role, for the error.

    Raises
    ------
    UserError : the record is damaged.
    """
    if text.startswith(_IN_HOME):
        text = text.replace(_IN_HOME, f"{sqlite_url(paths.home())}/", 1)
    url = Url.parse(text, what)
    if (file := sqlite_file(url) if url.kind == "database" else None) is not None:
        there = paths.recalled(str(file))
        return url if there == file else sqlite_url(there)
    return _left_to_client(url) if url.incomplete else url


def is_place(text: str, url: Url) -> bool:
    """Whether the URL that a record names is `url`, whatever the password.

    Parameters
    ----------
    text : as for `recalled`.
    url : the other URL.
    """
    return recalled(text).without_password().shown == url.without_password().shown


def place_of(url: Url) -> str:
    """A URL as the record of a place names it: neither password nor its absence changes it."""
    return recorded(url.without_password())


def is_same_place(one: str, other: str) -> bool:
    """Whether two records name one place, however mmsr spelled it when they were written.

    Parameters
    ----------
    one, other : as for `recalled`; texts that are no URLs are compared as they are.
    """
    try:
        return one == other or place_of(recalled(one)) == place_of(recalled(other))
    except UserError:
        return False


def _left_to_client(url: Url) -> Url:
    """The URL without a password, if its client finds one elsewhere; else the incomplete URL."""
    names = ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"]
    file = Path("~/.mlflow/credentials")
    if url.kind == "database":
        names = ["PGPASSWORD"] if url.shown.startswith("postgresql") else []
        file = Path(os.environ.get("PGPASSFILE") or "~/.pgpass" if names else os.devnull)
    found = any(os.environ.get(name) for name in names) or file.expanduser().is_file()
    return url.without_password() if found else url


def connect_arguments(url: str | Url) -> dict[str, Any]:
    """Driver arguments for `url` with which an absent server does not block for minutes."""
    if Url.parse(url).reveal().startswith("sqlite"):
        return {"timeout": 60}
    return {"connect_timeout": TIMEOUT_SECONDS}


class Unreachable(UserError):
    """A database does not answer now; its address may be right."""


def check_database(given: str | Url, what: str) -> None:
    """Check quickly that a database answers, or that a SQLite file can be made.

    Parameters
    ----------
    given : SQLAlchemy URL.
    what : its role, for the error, e.g. ``"storage"``.

    Raises
    ------
    Unreachable : nothing answers there now.
    UserError : it cannot be used; the message says why.
    """
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    url = Url.parse(given, what)
    example = "e.g. sqlite:////PATH/optuna.db or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    local = url.reveal().startswith("sqlite")
    if local:
        if (file := sqlite_file(url)) is None:
            raise UserError(f"{what} {url!r} keeps nothing: name a file, {example}")
        if not _check_file(file, what):
            return
    try:
        engine = create_engine(url.reveal(), connect_args=connect_arguments(url))
        with engine.connect() as connection:
            if local:
                connection.execute(text("PRAGMA schema_version"))
        engine.dispose()
    except (ArgumentError, NoSuchModuleError, ValueError, TypeError):
        raise UserError(f"{what} {url!r} is no database URL: write {example}") from None
    except ModuleNotFoundError as error:
        raise UserError(
            f"{what} {url!r} needs the Python package {error.name!r}: "
            "install it, for PostgreSQL with `pip install 'mmsr[postgres]'`"
        ) from None
    except SQLAlchemyError as error:
        kind = Unreachable if _is_away(error) else UserError
        raise kind(
            f"{what} {url!r} cannot be used: {reason(error, url)}; "
            "check that the address is right and the database is running"
        ) from None


def _is_away(error: Exception) -> bool:
    """Whether a server did not answer, or is starting or ending; a wrong password is no outage."""
    from sqlalchemy.exc import OperationalError

    text = str(error)
    answered = "FATAL" in text and "the database system is" not in text
    return isinstance(error, OperationalError) and "sqlite3" not in text and not answered


def reason(error: Exception, url: str | Url) -> str:
    """The client's own message in an error, in one line and without secrets.

    Parameters
    ----------
    error : what SQLAlchemy, a driver or MLflow has raised.
    url : where the client has connected.
    """
    original = getattr(error, "orig", None) or error
    driver = re.search(r"\(\w+(?:\.\w+)+\) (.+)", str(original))  # "(sqlite3.OperationalError) …"
    told = driver[1] if driver else str(original).strip().partition("\n")[0]
    return Url.parse(url).scrub(told) or type(original).__name__


def _check_file(path: Path, what: str) -> bool:
    """Whether the SQLite file exists; raises if it can be neither written nor made."""
    if path.exists():
        if not path.is_file() or not os.access(path, os.W_OK):
            raise UserError(f"{what} {str(path)!r} is not a file that can be written: name another")
        return True
    folder = path.absolute().parent
    if not folder.exists() and not path.absolute().is_relative_to(paths.home()):
        raise UserError(
            f"{what} {str(path)!r} cannot be made: there is no folder {str(folder)!r}; make it, or "
            "name another place"
        )
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"{what} {str(path)!r} cannot be made: folder {str(folder)!r} is not writable; "
            "set MMSR_HOME or name another place"
        )
    return False

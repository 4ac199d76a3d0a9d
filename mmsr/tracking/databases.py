"""Databases by URL: how they are written, and a quick check whether one can be used."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mmsr import paths
from mmsr.errors import UserError

TIMEOUT_SECONDS = 5


def normalised(url: str) -> str:
    """Complete a database URL, so that it can be recorded.

    PostgreSQL gets the driver that mmsr ships, where none is named. A SQLite file gets its absolute
    path, since later commands may run in another folder.

    Parameters
    ----------
    url : as the user gave it.
    """
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        scheme = "postgresql+psycopg"
    if scheme.partition("+")[0] == "sqlite" and rest[:1] == "/" and rest[1:2] not in ("", "/", ":"):
        rest = f"/{Path(rest[1:]).absolute()}"
    return f"{scheme}{separator}{rest}"


def sqlite_file(url: str) -> Path | None:
    """The file that the SQLite `url` names; None for another database, or one in memory."""
    from sqlalchemy import make_url

    if not url.startswith("sqlite"):
        return None
    name = make_url(url).database
    return Path(name) if name and name != ":memory:" else None


def without_password(url: str) -> str:
    """Hide the password in the database `url`, so that it can be shown and recorded."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def hide_password(text: str) -> str:
    """Hide the passwords of all URLs in `text`, e.g. a word of a command line."""
    return re.sub(r"(://[^:/@\s]*):[^@/\s]*@", r"\1:***@", text)


def connect_arguments(url: str) -> dict[str, Any]:
    """Driver arguments for `url` with which an absent server does not block for minutes."""
    if url.startswith("sqlite"):
        return {"timeout": 60}
    return {"connect_timeout": TIMEOUT_SECONDS}


class Unreachable(UserError):
    """A database does not answer now; its address may be right."""


def check_database(url: str, what: str) -> None:
    """Check quickly that a database answers, or that a SQLite file can be made.

    Parameters
    ----------
    url : SQLAlchemy URL.
    what : its role, for the error, e.g. ``"storage"``.

    Raises
    ------
    Unreachable : nothing answers there now.
    UserError : it cannot be used; the message says why.
    """
    from sqlalchemy import create_engine, make_url, text
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    example = "e.g. sqlite:////PATH/optuna.db or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            if (file := sqlite_file(url)) is None:
                raise UserError(f"{what} {url!r} keeps nothing: name a file, {example}")
            if not _check_file(file, what):
                return
        engine = create_engine(url, connect_args=connect_arguments(url))
        with engine.connect() as connection:
            if parsed.get_backend_name() == "sqlite":
                connection.execute(text("PRAGMA schema_version"))
        engine.dispose()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{what} {url!r} is no database URL: write {example}") from None
    except ModuleNotFoundError as error:
        raise UserError(
            f"{what} {without_password(url)!r} needs the Python package {error.name!r}: "
            "install it, for PostgreSQL with `pip install 'mmsr[postgres]'`"
        ) from None
    except SQLAlchemyError as error:
        kind = Unreachable if _is_away(error) else UserError
        raise kind(
            f"{what} {without_password(url)!r} cannot be used: {reason(error)}; "
            "check that the address is right and the database is running"
        ) from None


def _is_away(error: Exception) -> bool:
    """Whether a server did not answer, or is starting or ending; a wrong password is no outage."""
    from sqlalchemy.exc import OperationalError

    text = str(error)
    answered = "FATAL" in text and "the database system is" not in text
    return isinstance(error, OperationalError) and "sqlite3" not in text and not answered


def reason(error: Exception) -> str:
    """The database's own message in a SQLAlchemy `error`, in one line."""
    original = getattr(error, "orig", None) or error
    driver = re.search(r"\(\w+(?:\.\w+)+\) (.+)", str(original))  # "(sqlite3.OperationalError) …"
    told = driver[1] if driver else str(original).strip().partition("\n")[0]
    return told or type(original).__name__


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

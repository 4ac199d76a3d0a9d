"""Databases by URL: naming them, and finding out quickly whether one can be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmsr.errors import UserError

TIMEOUT_SECONDS = 5


def normalised(url: str) -> str:
    """The URL with the driver that mmsr ships for PostgreSQL, where none is named."""
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        scheme = "postgresql+psycopg"
    return f"{scheme}{separator}{rest}"


def without_password(url: str) -> str:
    """The URL fit for showing and keeping."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def connect_arguments(url: str) -> dict[str, Any]:
    """Driver arguments that keep an absent server from blocking for minutes."""
    if url.startswith("sqlite"):
        return {"timeout": 60}
    return {"connect_timeout": TIMEOUT_SECONDS}


def check_database(url: str, what: str) -> None:
    """Check quickly that a database answers, or that a SQLite file can be made.

    Parameters
    ----------
    url : SQLAlchemy URL.
    what : its role, for the error, e.g. ``"storage"``.

    Raises
    ------
    UserError : it cannot be used; says why.
    """
    from sqlalchemy import create_engine, make_url, text
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    example = "e.g. sqlite:////PATH/optuna.db or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise UserError(f"{what} {url!r} keeps nothing: name a file, {example}")
            if not _check_file(Path(parsed.database), what):
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
        raise UserError(
            f"{what} {without_password(url)!r} cannot be used: {reason(error)}; "
            "check that the address is right and the database runs"
        ) from None


def reason(error: Exception) -> str:
    """The first line of a database error, without SQLAlchemy's trimmings."""
    original = getattr(error, "orig", None) or error
    return str(original).strip().partition("\n")[0] or type(original).__name__


def _check_file(path: Path, what: str) -> bool:
    """Whether the SQLite file exists; raises where it exists and cannot be written, or cannot be
    made.
    """
    if path.exists():
        if not path.is_file() or not os.access(path, os.W_OK):
            raise UserError(f"{what} {str(path)!r} is not a file that can be written: name another")
        return True
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"{what} {str(path)!r} cannot be made: folder {str(folder)!r} is not writable; "
            "set MMSR_HOME or name another place"
        )
    return False

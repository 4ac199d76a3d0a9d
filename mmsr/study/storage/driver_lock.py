"""A lock in the storage: only one driver at a time runs a study, from whatever machine.

The lock of the study's folder keeps out a second driver with the same `$MMSR_HOME`. Drivers with
different homes share only the storage, so this lock is there. It ends with the process or
connection that holds it: a killed driver leaves nothing behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmsr.errors import UserError
from mmsr.tracking.databases import connect_arguments, sqlite_file
from mmsr.urls import Url

_QUERIES = {
    "postgresql": "SELECT pg_try_advisory_lock(hashtextextended(:key, 0))",
    "mysql": "SELECT GET_LOCK(:key, 0)",
    "mariadb": "SELECT GET_LOCK(:key, 0)",
}
"""Queries that take a lock until the connection ends, by kind of database; true on success."""


@contextmanager
def claimed(given: str | Url, name: str) -> Iterator[None]:
    """Hold the exclusive right to run a study, inside this context.

    For SQLite, a file beside the database is locked. For PostgreSQL, MySQL and MariaDB, a lock on
    the server is taken. Other databases have no such lock: there it is up to the user to run a
    study from one `$MMSR_HOME` only.

    Parameters
    ----------
    given : URL of the storage.
    name : name of the study.

    Raises
    ------
    UserError : another driver holds the right.
    """
    from sqlalchemy import make_url

    url = Url.parse(given)
    if (file := sqlite_file(url)) is not None:
        with _file_locked(file.with_name(f".{file.name}.{name.replace('/', '+')}.lock"), url, name):
            yield
    elif (query := _QUERIES.get(make_url(url.reveal()).get_backend_name())) is not None:
        with _server_locked(query, url, name):
            yield
    else:
        yield


def can_be_claimed(given: str | Url) -> bool:
    """Whether a storage has such a lock.

    Parameters
    ----------
    given : URL of the storage.
    """
    from sqlalchemy import make_url

    url = Url.parse(given)
    return sqlite_file(url) is not None or make_url(url.reveal()).get_backend_name() in _QUERIES


@contextmanager
def _file_locked(path: Path, url: Url, name: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise _taken(url, name) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _server_locked(query: str, url: Url, name: str) -> Iterator[None]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    engine = create_engine(
        url.reveal(),
        connect_args=connect_arguments(url),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
    )
    key = hashlib.sha256(f"mmsr study {name}".encode()).hexdigest()  # MySQL takes 64 characters
    with engine.connect() as connection:
        if not connection.execute(text(query), {"key": key}).scalar():
            raise _taken(url, name)
        yield


def _taken(url: Url, name: str) -> UserError:
    return UserError(
        f"study {name!r} in {url} is being run by another driver, from another "
        "MMSR_HOME or machine: wait for it, stop it, or give --name for another study"
    )

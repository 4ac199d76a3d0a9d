"""Naming databases, and telling what is wrong with one."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy

from mmsr.errors import UserError
from mmsr.tracking.databases import (
    check_database,
    hide_password,
    normalised,
    reason,
    without_password,
)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("sqlite:///sub/a.db", "sqlite:////here/sub/a.db"),
        ("sqlite:////there/a.db", "sqlite:////there/a.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_a_url_is_kept_in_one_form(given, kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert normalised(given) == kept.replace("/here", str(tmp_path))
    assert normalised(kept) == kept


def test_passwords_are_not_shown():
    for word in (
        "--storage=postgresql://u:secret@h/d",
        "http://u:secret@h:5000",
        "postgresql://:secret@h",
    ):
        assert hide_password(word) == word.replace("secret", "***")
    for word in ("sqlite:////a/b.db", "postgresql://u@h:5432/d", "graph.n_codes={image: 3}"):
        assert hide_password(word) == word
    assert without_password("postgresql://u:secret@h/d") == "postgresql://u:***@h/d"


def test_a_file_in_a_missing_folder_is_refused_unless_it_is_ours(home, tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .* make it"):
        check_database(f"sqlite:///{tmp_path / 'typo' / 'a.db'}", "storage")
    check_database(f"sqlite:///{tmp_path / 'a.db'}", "storage")
    check_database(f"sqlite:///{home / 'a.db'}", "storage")
    assert list(tmp_path.iterdir()) == [], "checking makes nothing"


def test_the_reason_is_what_the_driver_says(tmp_path):
    path = tmp_path / "a.db"
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
        with engine.connect() as connection, pytest.raises(sqlalchemy.exc.SQLAlchemyError) as error:
            connection.execute(sqlalchemy.text("INSERT INTO t VALUES (1)"))
    assert reason(error.value) == "database is locked"
    wrapped = RuntimeError(f"(raised as a result of an autoflush)\n{error.value}")
    assert reason(wrapped) == "database is locked"
    assert reason(RuntimeError("first line\nsecond")) == "first line"
    assert reason(RuntimeError()) == "RuntimeError"

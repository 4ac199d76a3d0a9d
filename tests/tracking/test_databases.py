"""Naming databases, and telling what is wrong with one."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy

from mmsr import paths
from mmsr.errors import UserError
from mmsr.tracking.databases import (
    check_database,
    is_place,
    reason,
    recalled,
    recorded,
    sqlite_file,
)
from mmsr.urls import Url, sqlite_url


def test_a_record_names_a_file_of_the_home_from_there(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(tmp_path / "a?b%41"))
    for name in ("optuna.db", "sub/b#c.db"):
        url = sqlite_url(paths.home() / name)
        text = recorded(url)
        assert text.startswith("sqlite:///$MMSR_HOME/")
        assert recalled(text) == url
        monkeypatch.setenv("MMSR_HOME", str(tmp_path / "moved"))
        assert sqlite_file(recalled(text)) == tmp_path / "moved" / name
        monkeypatch.setenv("MMSR_HOME", str(tmp_path / "a?b%41"))
    for other in (str(sqlite_url(tmp_path / "x.db")), "http://host:5000"):
        assert recorded(Url.parse(other)) == other
        assert str(recalled(other)) == other


def test_a_record_of_an_earlier_version_is_found_in_a_moved_home(home, tmp_path):
    old = "sqlite:////no/such/home/sub/optuna.db"
    assert str(recalled(old)) == old
    (home / "sub").mkdir(parents=True)
    (home / "sub" / "optuna.db").touch()
    assert sqlite_file(recalled(old)) == home / "sub" / "optuna.db"
    there = tmp_path / "optuna.db"
    there.touch()
    assert sqlite_file(recalled(str(sqlite_url(there)))) == there, "it is still there"


def test_a_password_that_is_not_recorded_is_left_to_the_client(monkeypatch, tmp_path):
    text = recorded(Url.parse("postgresql://u:secret@h/d"))
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pass"))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    assert recalled(text).incomplete
    (tmp_path / "pass").touch()
    assert recalled(text).reveal() == "postgresql+psycopg://u@h/d"
    assert is_place(text, Url.parse("postgresql://u:secret@h/d"))
    assert not is_place(text, Url.parse("postgresql://u:secret@h/other"))
    assert recalled("mysql://u:***@h/d").incomplete
    server = recorded(Url.parse("http://u:secret@h:5000"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert recalled(server).incomplete
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert recalled(server).reveal() == "http://h:5000"


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
    url = sqlite_url(path)
    assert reason(error.value, url) == "database is locked"
    wrapped = RuntimeError(f"(raised as a result of an autoflush)\n{error.value}")
    assert reason(wrapped, url) == "database is locked"
    assert reason(RuntimeError("first line\nsecond"), url) == "first line"
    assert reason(RuntimeError(), url) == "RuntimeError"

"""`mmsr data fetch` as a user types it."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest

from mmsr.cli import app
from mmsr.cli.options import known_public
from mmsr.data.catalogue.entries import names


def fetch(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run `mmsr data fetch …` in this process; the exit code."""
    monkeypatch.setattr(sys, "argv", ["mmsr", "data", "fetch", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as caught:
        app.main()
    return int(caught.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two of the files of Toys."""
    for name in ("reviews_Toys_and_Games_5.json.gz", "meta_Toys_and_Games.json.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"abc" * 100_000, 0))
    return tmp_path


def test_without_a_name_all_are_listed(home, monkeypatch, capsys):
    assert fetch(monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == ["name", *names()]
    assert known_public() == names()


def test_files_are_fetched_once(folder, home, monkeypatch, capsys):
    one = ("toys", "--source", folder, "--only", "reviews")
    assert fetch(*one, monkeypatch=monkeypatch) == 0
    place = home / "downloads" / "toys"
    assert capsys.readouterr().out == f"fetched toys: 1 file, 0.3 MB, in {place}\n"
    assert fetch(*one, "--only", "metadata", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == f"fetched toys: 2 files, 1 of them new, 0.6 MB, in {place}\n"
    assert fetch(*one, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == f"nothing to fetch for toys: 1 file, 0.3 MB, in {place}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("toyz",), "unknown public data set 'toyz': did you mean 'toys'?"),
        (("toys", "--only", "text"), "unknown file of 'toys' 'text'"),
        (("toys", "--source", "nowhere"), "source 'nowhere' is no folder"),
    ],
)
def test_bad_input_is_one_line(arguments, message, home, monkeypatch, capsys):
    assert fetch(*arguments, monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_interrupting_says_that_nothing_is_lost(folder, home, monkeypatch, capsys):
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mmsr.data.catalogue.fetch.fetch", interrupt)
    assert fetch("toys", monkeypatch=monkeypatch) == 130
    assert "what has come is kept" in capsys.readouterr().err

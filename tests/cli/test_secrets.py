"""A URL in any place of a command line leads to an error without its password."""

from __future__ import annotations

import sys

import pytest

from mmsr.cli.app import main
from mmsr.study.driver.exit_codes import BAD_INPUT, exit_code
from mmsr.study.storage.folder import StudyFolder

SECRET = "5ecr3tW0rd"
URLS = [
    f"postgresql+psycopg://u:{SECRET}@h/d",
    f"postgresql://user:{SECRET}{'x' * 90}@host/d",
    f"postgresql://{'u' * 25}:{SECRET}@{'h' * 90}/d",
]
WORDS = [
    "study leaderboard URL",
    "study status URL",
    "study sync URL",
    "study finalize URL",
    "study new small --dataset URL",
    "study new URL --dataset demo",
    "robustness URL",
    "reproduce URL",
    "train URL",
    "train demo --set URL",
    "train demo --set graph.n_codes=URL",
    "train demo --config URL",
    "train --dataset URL",
    "data import shop --interactions URL",
    "data import URL --interactions x",
    "data demo --name URL",
    "best-config export URL",
    "URL",
]


@pytest.mark.parametrize("url", URLS, ids=["short", "long password", "long host"])
@pytest.mark.parametrize("words", WORDS)
def test_no_error_shows_a_password(words, url, home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mmsr", *words.replace("URL", url).split()])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert stop.value.code in (1, 2)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert SECRET[:4] not in out + err


@pytest.mark.parametrize("url", URLS)
def test_a_study_that_is_named_by_a_url(url, home, capsys):
    assert exit_code(lambda: StudyFolder(url) and 0) == BAD_INPUT
    assert SECRET[:4] not in capsys.readouterr().err


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("option", ["--name", "--trials", "--set"])
def test_an_option_of_a_study_file(option, url, small_study, study_home, capsys):
    with pytest.raises(SystemExit) as stop:
        small_study.main([option, url])
    out, err = capsys.readouterr()
    assert stop.value.code == BAD_INPUT
    assert "error: " in err
    assert SECRET[:4] not in out + err

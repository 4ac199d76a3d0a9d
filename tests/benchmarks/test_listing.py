"""The homes that the benchmark of listing makes are those of real studies."""

from __future__ import annotations

from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.progress import progress_of
from mmsr.study.storage.trials import ranked, rows


def test_made_studies_are_listed_and_ranked(load, tmp_path, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", "")  # so that it is restored
    benchmark = load("listing")
    benchmark.make_home(tmp_path, {"first": 12, "second": 5})
    said = CliRunner().invoke(app, ["study", "list"], catch_exceptions=False).stdout
    assert [line.split() for line in said.splitlines()[1:]] == [
        ["first", "demo", "valid/mrr@20", "finished", "12", "of", "12", "87.109"],
        ["second", "demo", "valid/mrr@20", "finished", "5", "of", "5", "23.757"],
    ]
    known = look_up("second")
    assert progress_of(known.study).over == 5
    whole = rows(known.study)
    assert [row.state for row in whole] == ["finished"] * 4 + ["pruned"]
    assert whole[3].config.model.width == 128
    assert known.best()[0] == ranked(whole)[0]
    words = ["study", "leaderboard", "second", "--top", "2"]
    said = CliRunner().invoke(app, words, catch_exceptions=False).stdout
    assert "trial 3: width 128" in said

"""Which models the figures of `benchmarks/quality.py` belong to."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from mmsr.training.checkpoint import STATE

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def quality(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    spec = importlib.util.spec_from_file_location("benchmarks_quality", BENCHMARKS / "quality.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_list_of_commits_is_as_long_as_its_training(quality, tmp_path, monkeypatch):
    folder, log = tmp_path / "toys" / "1-refit", tmp_path / "toys" / "1-refit.commits"

    def trains(commit):
        monkeypatch.setattr(quality.common, "COMMIT", commit)
        quality._note_commit(folder)
        folder.mkdir(exist_ok=True)
        (folder / STATE).touch()

    for commit in ("first", "first", "second"):
        trains(commit)
    assert log.read_text().split() == ["first", "second"]
    (folder / STATE).unlink()
    trains("third")
    assert log.read_text().split() == ["third"]


def test_figures_of_other_models_are_never_shown(quality, tmp_path, capsys):
    store, models = tmp_path / "test.json", {"trained_by": ["first"], "configs": {"1": {"a": 1}}}
    assert quality._stored(store, models) is None
    figures = {"1": {"mrr@20": 0.5}}
    store.write_text(json.dumps({"of": models, "figures": figures}))
    assert quality._stored(store, models) == figures
    assert "not opened again" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="the figures of other models"):
        quality._stored(store, {**models, "trained_by": ["second"]})

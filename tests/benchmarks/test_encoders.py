"""How text encoders are compared seed by seed."""

from __future__ import annotations

import json

import pytest


def test_differences_are_taken_seed_by_seed(load):
    scores = {
        "tfidf": {1: 0.1, 2: 0.2, 3: 0.3},
        "minilm": {1: 0.12, 2: 0.22, 3: 0.32},
        "clip": {2: 0.2, 3: 0.6, 4: 0.9},
    }
    figures = load("encoders").compared(scores)
    assert figures["mean_minilm"] == pytest.approx(0.22)
    assert figures["std_minilm"] == pytest.approx(0.1)
    assert figures["difference_minilm"] == pytest.approx(0.02)
    assert figures["error_minilm"] == pytest.approx(0, abs=1e-12)
    assert figures["difference_clip"] == pytest.approx(0.15), "of seeds 2 and 3"
    assert figures["error_clip"] == pytest.approx(0.15)
    assert "difference_tfidf" not in figures


def test_one_seed_has_no_spread(load):
    figures = load("encoders").compared({"tfidf": {1: 0.1}, "minilm": {1: 0.3}})
    assert figures == pytest.approx(
        {"mean_tfidf": 0.1, "mean_minilm": 0.3, "difference_minilm": 0.2}
    )


def test_a_kept_result_is_taken_up_if_its_settings_are_the_same(load, tmp_path):
    encoders, file = load("encoders"), tmp_path / "encoders_toys.json"
    file.write_text(json.dumps({"settings": {"model.width": 8}, "figures": {"epochs_tfidf_1": 3}}))
    assert encoders.kept(file, {"model.width": 8})["figures"] == {"epochs_tfidf_1": 3}
    for other in (encoders.kept(file, {"model.width": 16}), encoders.kept(None, {})):
        assert other["figures"] == {}


def test_vectors_that_a_data_set_lacks_are_refused(load, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["encoders.py", "--dataset", "beauty", "--encoders", "clip"])
    with pytest.raises(SystemExit, match="beauty has no vectors of clip: tfidf, minilm"):
        load("encoders").main()

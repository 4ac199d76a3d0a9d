"""How text encoders are compared seed by seed."""

from __future__ import annotations

import pytest


def test_differences_are_taken_seed_by_seed(load):
    found = {"tfidf": [0.1, 0.2, 0.3], "minilm": [0.12, 0.22, 0.32], "clip": [0.1, 0.2, 0.6]}
    figures = load("encoders").compared(found)
    assert figures["mean_minilm"] == pytest.approx(0.22)
    assert figures["std_minilm"] == pytest.approx(0.1)
    assert figures["difference_minilm"] == pytest.approx(0.02)
    assert figures["error_minilm"] == pytest.approx(0, abs=1e-12)
    assert figures["difference_clip"] == pytest.approx(0.1)
    assert figures["error_clip"] == pytest.approx(0.1)
    assert "difference_tfidf" not in figures


def test_one_seed_has_no_spread(load):
    figures = load("encoders").compared({"tfidf": [0.1], "minilm": [0.3]})
    assert figures == pytest.approx(
        {"mean_tfidf": 0.1, "mean_minilm": 0.3, "difference_minilm": 0.2}
    )


def test_vectors_that_a_data_set_lacks_are_refused(load, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["encoders.py", "--dataset", "beauty", "--encoders", "clip"])
    with pytest.raises(SystemExit, match="beauty has no vectors of clip: tfidf, minilm"):
        load("encoders").main()

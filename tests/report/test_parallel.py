"""Parallel coordinates: heights follow values, and what a trial lacks lies below."""

from __future__ import annotations

import pytest

from mmsr.report.parallel import MOST_LINES, parallel_coordinates
from mmsr.study.storage.trials import TrialRow


def row(number, value, model=None, **params):
    return TrialRow(
        number=number,
        state="finished",
        value=value,
        best_epoch=1,
        epochs=1,
        seconds=1.0,
        params=params,
        metrics={},
        stored_config=None,
        error=None,
        mlflow_run_id=None,
        code={},
        model=model,
    )


def test_heights_follow_values():
    rows = [row(0, 0.3, rate=1e-1, kind="b"), row(1, 0.2, rate=1e-2), row(2, 0.1, rate=1e-3)]
    chart = parallel_coordinates(rows, "mrr@20", ["rate", "kind"])
    best_last = {t["hovertemplate"].split(",")[0]: t["y"] for t in chart.traces}
    assert best_last["trial 0"] == pytest.approx([1, 0, 1])
    assert best_last["trial 1"][0] == pytest.approx(0.5), "a wide range is logarithmic"
    assert best_last["trial 1"][1] < 0, "it has no kind"
    assert best_last["trial 2"] == pytest.approx([0, best_last["trial 1"][1], 0])
    assert chart.layout["xaxis"]["ticktext"] == ["rate", "kind", "mrr@20, %"]


def test_nothing_that_differs_is_nothing_to_draw():
    assert parallel_coordinates([row(0, 0.3, x=1), row(1, 0.2, x=1)], "mrr@20", []) is None


def test_many_trials_are_cut_to_the_best():
    rows = [row(n, 1 - n / 1000, x=n) for n in range(MOST_LINES + 50)]
    chart = parallel_coordinates(rows, "mrr@20", [])
    assert len(chart.traces) == MOST_LINES
    assert chart.traces[-1]["hovertemplate"].startswith("trial 0,"), "the best one is on top"

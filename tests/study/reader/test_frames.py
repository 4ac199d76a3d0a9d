"""The types of columns, whatever trials have in them."""

from __future__ import annotations

import numpy as np
import pytest

from mmsr.study.reader.frames import frame_of, leaderboard_frame, trials_frame
from mmsr.study.results.references import ReferenceLine
from mmsr.study.storage.trials import TrialRow


def row(number, state="finished", value=0.5, model=None, **params):
    return TrialRow(
        number=number,
        state=state,
        value=value,
        best_epoch=2,
        epochs=3,
        seconds=1.5,
        params=params,
        metrics={} if value is None else {"valid/mrr@20": value},
        stored_config=None,
        error=None,
        mlflow_run_id=None,
        code={},
        model=model,
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "int64"),
        ([1, None], "Int64"),
        ([np.int64(1), 2], "int64"),
        ([1, 2.5], "float64"),
        ([0.1, None], "float64"),
        ([True, False], "bool"),
        ([True, None], "boolean"),
        ([True, 1], "object"),
        (["last", 3], "object"),
        ([["image"], None], "object"),
        ([None, None], "object"),
        ([], "object"),
    ],
)
def test_a_column_has_the_narrowest_type(values, kind):
    column = frame_of({"a": values})["a"]
    assert column.dtype == kind
    assert column.dropna().tolist() == [value for value in values if value is not None]


def test_texts_stay_texts():
    assert frame_of({"a": ["last", None]})["a"].tolist()[0] == "last"


def test_a_knob_that_only_some_trials_have_is_missing_in_the_others():
    frame = trials_frame(
        [row(0, **{"model.last_n": 4}), row(1), row(2, **{"model.layers": 2})],
        "valid/mrr@20",
        running=False,
    )
    assert frame["model.last_n"].dtype == "Int64"
    assert frame["model.last_n"].isna().tolist() == [False, True, True]
    assert frame.loc[2, "model.layers"] == 2
    assert "model" not in frame


def test_no_trial_runs_without_a_driver():
    rows = [row(0, "running", None)]
    assert trials_frame(rows, "valid/mrr@20", running=True).loc[0, "state"] == "running"
    assert trials_frame(rows, "valid/mrr@20", running=False).loc[0, "state"] == "interrupted"
    assert trials_frame([], "valid/mrr@20", running=False).empty


def test_the_types_of_the_columns_of_every_study_are_those_of_no_values():
    full, empty = row(0, model="sasrec"), row(0, "failed", None, "sasrec")
    for frame in (
        lambda rows: trials_frame(rows, "valid/mrr@20", running=False),
        lambda rows: leaderboard_frame(rows, "valid/mrr@20"),
    ):
        some, none = frame([full, full]), frame([empty])
        assert (some.dtypes[none.columns] == none.dtypes).all()
    trials = trials_frame([row(0)], "valid/mrr@20", running=False)
    assert trials.dtypes[["score", "seconds", "valid/mrr@20"]].tolist() == ["float64"] * 3
    assert trials.dtypes[["best_epoch", "epochs"]].tolist() == ["Int64"] * 2
    assert trials.dtypes[["state", "error", "mlflow_run_id"]].tolist() == ["string"] * 3


def test_trials_that_were_stopped_early_have_no_place():
    rows = [row(0, value=0.2), row(1, "pruned", 0.9), row(2, value=0.4), row(3, "failed", None)]
    lines = [ReferenceLine("EASE", {"mrr@20": 0.1}), ReferenceLine("item-kNN", None, "too large")]
    board = leaderboard_frame(rows, "valid/mrr@20", lines)
    assert list(board.index) == ["trial 2", "trial 0", "trial 1", "EASE"]
    assert board["place"].isna().tolist() == [False, False, True, True]
    assert board["valid/mrr@20"].tolist() == [0.4, 0.2, 0.9, 0.1]
    assert board["trial"].dtype == "Int64"


def test_further_objectives_and_the_front_have_columns():
    rows = [row(0, value=0.2), row(1, value=0.4)]
    for one, seconds in zip(rows, (1.0, 2.0), strict=True):
        one.metrics["time/epoch_seconds"] = seconds
    board = leaderboard_frame(rows, "valid/mrr@20", against=["time/epoch_seconds"], front={1})
    assert board["time/epoch_seconds"].tolist() == [2.0, 1.0]
    assert board["pareto"].tolist() == [True, False]
    assert "pareto" not in leaderboard_frame(rows, "valid/mrr@20")


def test_models_and_warm_and_cold_targets_have_columns():
    metrics = {"valid/mrr@20": 0.3, "valid/warm/mrr@20": 0.4, "valid/cold/mrr@20": 0.1}
    one = row(0, model="sasrec", **{"sasrec/model.width": 8})
    one.metrics.update(metrics)
    board = leaderboard_frame([one], "valid/mrr@20")
    assert board.loc["trial 0", ["model", *metrics]].tolist() == ["sasrec", *metrics.values()]
    assert board.loc["trial 0", "model.width"] == 8

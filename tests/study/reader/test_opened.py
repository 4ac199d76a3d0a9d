"""A study by name: data frames that say what the commands say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from filelock import FileLock
from typer.testing import CliRunner

import mmsr
from mmsr.cli.app import app
from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study.results.finalized import ConfigFigures, FinalRecord, FinalResult, SeedFigures
from mmsr.study.results.held_out import Opening
from mmsr.study.workers.messages import Report
from mmsr.urls import sqlite_url

SETTINGS = ["model.width", "model.dropout"]
OBJECTIVE = "valid/mrr@20"


@pytest.fixture
def study(small):
    return mmsr.open_study("small")


def test_importing_mmsr_loads_nothing():
    code = (
        "import sys; before = set(sys.modules); import mmsr; mmsr.open_study; dir(mmsr); "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['mmsr']\n"


def test_trials_have_settings_states_and_all_metrics(study):
    trials = study.trials()
    assert trials.index.name == "trial"
    assert list(trials.index) == [0, 1, 2, 3]
    assert list(trials["state"]) == ["finished", "finished", "failed", "finished"]
    assert list(trials["model.width"]) == [8, 16, 24, 40]
    assert trials["model.width"].dtype == "int64"
    assert trials["model.dropout"].dtype == "float64"
    assert trials.loc[3, "score"] == trials.loc[3, OBJECTIVE] == pytest.approx(0.035)
    assert {f"valid/{m}@{k}" for m in ("hr", "mrr", "ndcg") for k in (5, 10, 20)} <= {*trials}
    assert trials["epochs"].tolist() == [3, 3, 1, 3]
    assert pd.isna(trials.loc[2, "score"])
    assert trials.loc[2, "error"] == "ValueError: bad luck"
    assert trials["error"].drop(2).isna().all()


def test_the_leaderboard_has_the_trials_and_figures_of_the_command(study):
    shown = CliRunner().invoke(app, ["study", "leaderboard", "small"], catch_exceptions=False)
    lines = [line.strip("│┃ ") for line in shown.output.splitlines()]
    cells = [re.split(r"\s*[│┃]\s*", line) for line in lines if re.search("[│┃]", line)]
    board = study.leaderboard()
    names = ["place", "trial", *(name for name in board if name.startswith("valid/"))]
    head, *rows = cells
    assert [f"valid/{name}" for name in head[2:-2]] == names[2:]
    of_trials = board.dropna(subset="trial")
    assert [row[:6] for row in rows[: len(of_trials)]] == [
        [str(row.place), str(row.trial), *(f"{100 * value:.2f}" for value in row[names[2:]])]
        for _, row in of_trials.iterrows()
    ]
    assert list(of_trials["trial"]) == [3, 1, 0]
    assert list(of_trials["model.width"]) == [40, 16, 8]
    lines = board[board["trial"].isna()]
    assert list(lines.index) == ["popularity", "item-kNN", "EASE"], "the command measured them"
    assert lines["place"].isna().all()
    assert (lines[OBJECTIVE] > 0).all()


def test_the_leaderboard_has_as_many_trials_as_asked_for(study):
    assert study.leaderboard(top=2)["trial"].dropna().tolist() == [3, 1]
    assert study.leaderboard(top=None)["trial"].notna().sum() == 3
    for wrong in (0, -1, 2.5, "3", True):
        with pytest.raises(UserError, match="give a whole number from 1"):
            study.leaderboard(top=wrong)


def test_curves_have_a_row_for_each_trial_and_epoch(study):
    curves = study.curves()
    there = list(zip(curves["trial"], curves["epoch"], strict=True))
    assert there == [(t, e) for t in range(4) for e in (1, 2, 3) if t != 2 or e == 1]
    of_best = curves[curves["trial"] == 3].set_index("epoch")
    assert of_best[OBJECTIVE].tolist() == pytest.approx([0.02, 0.03, 0.035])
    assert of_best["train/loss"].tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    assert not [name for name in curves if name.startswith("best/")]


def test_curves_without_a_journal_have_the_objective(study, tmp_path, monkeypatch):
    storage = study.storage
    monkeypatch.setenv("MMSR_HOME", str(tmp_path / "elsewhere"))
    curves = mmsr.open_study("small", storage).curves()
    assert list(curves) == ["trial", "epoch", OBJECTIVE]
    assert len(curves) == 10


def test_best_is_the_config_that_is_exported(study, tmp_path):
    best = study.best()
    assert isinstance(best.config, Config)
    assert (best.trial, best.best_epoch, best.epochs) == (3, 3, 3)
    assert best.settings == {"model.width": 40, "model.dropout": 0.3}
    path = study.export(tmp_path / "best.yaml")
    assert Config.from_yaml(path) == best.config
    assert yaml.safe_load(path.read_text())["provenance"]["trial"] == 3
    with pytest.raises(UserError, match=r"best.yaml exists: .* overwrite=True"):
        study.export(path)
    study.export(path, trial=0, overwrite=True)
    assert Config.from_yaml(path).model.width == 8
    assert "trial 3" in repr(best)


def test_errors_name_the_arguments(study, tmp_path):
    with pytest.raises(UserError, match=r"^trial=2: study 'small' has no finished trial"):
        study.best(trial=2)
    with pytest.raises(UserError, match=r"^model=sasrec: the study has one model"):
        study.export(tmp_path / "a.yaml", model="sasrec")
    with pytest.raises(UserError, match=r"cannot write .*: No such file"):
        study.export(tmp_path / "nowhere" / "a.yaml")
    with pytest.raises(UserError, match="unknown study 'smal': did you mean 'small'"):
        mmsr.open_study("smal")
    with pytest.raises(UserError, match="bad study name 7"):
        mmsr.open_study(7)


def test_finals_are_read_and_test_stays_closed(study, monkeypatch):
    monkeypatch.setattr("mmsr.data.held_out.open_test", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(UserError, match="`mmsr study finalize small` opens test, once"):
        study.finals()
    mean = {"test/mrr@20": 0.03, "test/hr@20": 0.1}
    seeds = (SeedFigures(seed=1, metrics=mean), SeedFigures(seed=2, error="it broke"))
    config = ConfigFigures(
        trial=3,
        epochs=3,
        config={},
        validation={OBJECTIVE: 0.035},
        seeds=seeds,
        mean=mean,
        std={},
        low={"test/mrr@20": 0.02},
        high={"test/mrr@20": 0.04},
    )
    result = FinalResult(
        study="small",
        dataset="shop",
        dataset_hash="0",
        protocol="ratio",
        seeds=(1, 2),
        configs=(config,),
    )
    file = study.folder / "finalized.json"
    file.write_text(FinalRecord(result=result).model_dump_json())
    try:
        finals = study.finals()
    finally:
        file.unlink()
    first, second = finals.to_dict("records")
    assert (first["trial"], first["metric"], first["mean"]) == (3, "test/mrr@20", 0.03)
    assert (first["low"], first["high"], first["validation"]) == (0.02, 0.04, 0.035)
    assert first["seeds"] == 1
    assert pd.isna(second["low"])


def test_frames_can_be_written_and_read(study, tmp_path):
    for name, frame in {"trials": study.trials(), "board": study.leaderboard()}.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{name}.parquet"), frame)
        json.loads(frame.to_json())
        assert "0000000000" not in frame[[*SETTINGS]].to_csv()


def test_what_there_is_is_listed(small):
    studies = mmsr.studies()
    assert studies.loc["small", ["dataset", "state", "trials", "wanted"]].tolist() == [
        "shop",
        "finished",
        4,
        4,
    ]
    assert studies.loc["small", "best"] == pytest.approx(0.035)
    datasets = mmsr.datasets()
    assert datasets.loc["shop", "modalities"] == "image, text"
    assert datasets.loc["shop", "users"] == 60


def test_an_empty_home_has_empty_lists(home):
    assert mmsr.studies().empty
    assert mmsr.datasets().empty
    assert "best" in mmsr.studies()


def test_a_study_is_shown_with_where_it_is(study):
    assert repr(study).startswith("study small: finished, 4 of 4 trials\n")
    assert str(study.folder) in repr(study)
    page = study._repr_html_()
    assert "<strong>study small: finished, 4 of 4 trials</strong>" in page
    assert "3 finished, 1 failed" in page


def test_curves_have_an_interrupted_trial_whose_successor_waits(runs):
    def interrupted(plan, ledger, *_):
        proposal = ledger.ask("0")
        metrics = {OBJECTIVE: 0.25}
        report = Report(
            epoch=1, metrics=metrics, best_epoch=1, best_metrics=metrics, finished=False
        )
        assert proposal.number == 0
        ledger.report("0", report)
        ledger.stop("interrupted")

    result = runs("cut", interrupted)
    assert result.rows["epochs"].max() == 1
    assert result.study.curves()[OBJECTIVE].tolist() == [0.25]


def test_the_folder_of_another_study_of_the_name_is_not_read(runs, tmp_path, monkeypatch):
    there = sqlite_url(tmp_path / "there.db").reveal()
    monkeypatch.setenv("MMSR_STORAGE", there)
    here = runs("twin").study
    monkeypatch.setenv("MMSR_HOME", str(tmp_path / "other"))
    shutil.copytree(here.folder.parents[1] / "datasets", tmp_path / "other" / "datasets")
    shutil.copytree(here.folder.parents[1] / "held-out", tmp_path / "other" / "held-out")
    monkeypatch.setenv("MMSR_STORAGE", sqlite_url(tmp_path / "here.db").reveal())
    assert runs("twin").study.curves().shape[1] > 3
    monkeypatch.delenv("MMSR_STORAGE")
    twin = mmsr.open_study("twin", there)
    file = twin.folder / "finalized.json"
    file.write_text("no figures of this study")
    assert list(twin.curves()) == ["trial", "epoch", OBJECTIVE]
    with pytest.raises(UserError, match="has no test figures here"):
        twin.finals()
    twin.export(tmp_path / "twin.yaml")
    with FileLock(twin.folder / "lock"):
        assert twin.state == "finished"


def test_no_database_is_made_to_look_for_a_study(home, tmp_path):
    new = tmp_path / "new.db"
    with pytest.raises(UserError, match="there is no study 'x' in sqlite"):
        mmsr.open_study("x", f"sqlite:///{new}")
    assert not new.exists()


def test_arguments_of_wrong_types_are_refused(study, tmp_path):
    for storage in (tmp_path, 7):
        with pytest.raises(UserError, match=r"^storage=.*: give the URL of a database"):
            mmsr.open_study("small", storage)
    for trial in ("3", 2.0, True, -1):
        with pytest.raises(UserError, match=r"^trial=.*: give a whole number from 0"):
            study.best(trial=trial)
    with pytest.raises(UserError, match=r"^model=7: give the name of a model"):
        study.best(model=7)
    with pytest.raises(UserError, match=r"^path=7: give the name of the file"):
        study.export(7)
    assert study.best(trial=np.int64(1)).trial == 1
    assert study.leaderboard(top=np.int64(1))["trial"].dropna().tolist() == [3]


def test_a_study_that_cannot_be_read_is_shown(study, monkeypatch):
    def away(*_, **__):
        raise UserError("storage x cannot be used")

    monkeypatch.setattr("mmsr.study.storage.known_study.overview_of", away)
    assert repr(study) == "study small\n  cannot be read: storage x cannot be used"
    assert "cannot be read" in study._repr_html_()


def test_test_that_was_opened_without_a_result_is_told(study):
    file = study.folder / "finalized.json"
    opened = Opening(at="2026-01-01T00:00:00+00:00", trials=())
    file.write_text(FinalRecord(opened=(opened,)).model_dump_json())
    try:
        with pytest.raises(UserError, match="test was opened, and `mmsr study finalize small`"):
            study.finals()
    finally:
        file.unlink()

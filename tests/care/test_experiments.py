"""The experiment in MLflow follows its study, where that harms nobody."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from mmsr.care import experiments
from mmsr.care.changes import carry_out
from mmsr.care.pending import finish_changes
from mmsr.care.studies import RenameStudy, renaming
from mmsr.errors import UserError
from mmsr.study.storage.database import study_uid
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import look_up, open_journal
from mmsr.tracking.base import KEY_TAG
from mmsr.urls import Url


@pytest.fixture
def recorded(study, study_home):
    """The study's only run, with a file, is in the home's own MLflow; its client."""
    known = look_up("small")
    (known.folder.path / "notes.txt").write_text("kept")
    tracker = open_journal(known)
    tracker.open_run("study", "study small")
    tracker.upload("study", known.folder.path, ["notes.txt"])
    assert tracker.close(60).waiting == 0
    return MlflowClient(f"sqlite:///{study_home / 'mlflow.db'}")


def files_of(client, run):
    return [one.path for one in client.list_artifacts(run.info.run_id)]


def test_runs_and_files_follow_the_study(recorded, study_home, study, killed, killed_in):
    with killed_in(RenameStudy, 3, done=False), pytest.raises(killed):
        carry_out(renaming("small", "large"))
    notes = []
    finish_changes(notes.append)
    assert notes == ["renaming study 'small' to 'large' was interrupted, and is done now"]
    assert recorded.get_experiment_by_name("small") is None
    experiment = recorded.get_experiment_by_name("large")
    assert experiment.artifact_location == (study_home / "mlartifacts" / "large").as_uri()
    (run,) = recorded.search_runs([experiment.experiment_id])
    assert files_of(recorded, run) == ["notes.txt"]
    assert not (study_home / "mlartifacts" / "small").exists()
    known = look_up("large")
    tracker = open_journal(known)  # what is recorded later goes to the same runs
    tracker.log("study", 1, {"loss": 0.5})
    assert tracker.close(60).waiting == 0
    (run,) = recorded.search_runs([experiment.experiment_id])
    assert run.data.metrics == {"loss": 0.5}
    taken = Url.parse(f"sqlite:///{study_home / 'mlflow.db'}", "tracking URI")
    with pytest.raises(UserError, match="has an experiment 'large' already"):
        experiments.check_can_rename(taken, "large")


def test_an_experiment_with_runs_of_another_study_stays(recorded, study_home, study):
    experiment = recorded.get_experiment_by_name("small").experiment_id
    assert study_uid(study) == look_up("small").study.user_attrs["uid"]
    recorded.create_run(experiment, tags={KEY_TAG: f"{'b' * 32}/study"})
    (note,) = carry_out(renaming("small", "large"))
    assert "MLflow's experiment keeps the name 'small' (sqlite" in note
    assert "has runs of another study in it" in note
    assert recorded.get_experiment_by_name("large") is None
    assert (study_home / "mlartifacts" / "small").is_dir()


def test_a_server_that_is_away_keeps_its_experiment(study):
    folder = StudyFolder("small")
    record = folder.read_record()
    uri = "http://127.0.0.1:9"
    folder.write_record(record.model_copy(update={"tracking": uri}))
    (note,) = carry_out(renaming("small", "large"))
    assert "keeps the name 'small' (tracking server http://127.0.0.1:9 cannot be reached" in note
    assert look_up("large").tracking.shown == uri

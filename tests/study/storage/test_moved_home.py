"""A home that was moved or copied, and homes whose paths a URL would read otherwise."""

from __future__ import annotations

import shutil

import pytest
import yaml
from typer.testing import CliRunner

from mmsr import paths
from mmsr.cli.app import app
from mmsr.study import Study
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.existing import find_existing
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage import database
from mmsr.study.storage.attributes import CONFIG, OUTCOME
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import look_up
from mmsr.tracking import RunState, default_uri
from mmsr.tracking.base import RunClosed, RunOpened, Upload
from mmsr.tracking.databases import sqlite_file
from mmsr.tracking.journal.shipper import JournalTracker
from mmsr.tracking.mlflow import MlflowSink
from mmsr.tracking.mlflow_place import for_mlflow

NAMES = ["a?b", "a%41b", "a#b", "a{1}b", "ä b"]


@pytest.fixture
def at(study_home, tmp_path, monkeypatch):
    """Moves the home to a folder of another name, and copies it if asked to."""

    def move(name, *, copy=False):
        place = tmp_path / name
        before = paths.home()
        shutil.copytree(before, place) if copy else before.rename(place)
        monkeypatch.setenv("MMSR_HOME", str(place))
        return place

    return move


@pytest.fixture
def finished(opened_study):
    """Makes a study of one trial, and finishes it."""

    def make(study: Study):
        plan = make_plan(study, Options())
        made = opened_study(plan, "python study.py", trials=1)
        trial = made.ask()
        config = plan.base.replace({"graph.n_codes": 6})
        trial.set_user_attr(CONFIG, config.to_dict())
        trial.set_user_attr(OUTCOME, {})
        made.tell(trial, 0.25)
        return plan

    return make


@pytest.mark.parametrize("name", NAMES)
def test_a_home_of_any_name_holds_its_own_files(name, at, finished, small_study, tmp_path):
    home = at(name)
    before = {path.name for path in tmp_path.iterdir()}
    finished(small_study)
    assert sqlite_file(look_up("shop").storage) == home / "optuna.db"
    assert (home / "optuna.db").is_file()
    assert {path.name for path in tmp_path.iterdir()} == before, "no other file was made"


@pytest.mark.parametrize("copy", [False, True])
def test_a_study_goes_on_in_a_home_that_was_moved_or_copied(
    copy, at, finished, small_study, tmp_path
):
    old = paths.home()
    finished(small_study)
    home = at("a?b elsewhere", copy=copy)
    if not copy:
        assert not old.exists()
    known = look_up("shop")
    assert sqlite_file(known.storage) == home / "optuna.db"
    assert sqlite_file(known.tracking) == home / "mlflow.db"
    run = CliRunner().invoke
    for command in (["study", "status"], ["study", "leaderboard"], ["best-config", "export"]):
        result = run(app, [*command, "shop"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert str(old) + "/" not in result.output.replace(str(home), "")
    assert (
        yaml.safe_load(result.output)["provenance"]["storage"] == "sqlite:///$MMSR_HOME/optuna.db"
    )
    plan = make_plan(small_study, Options())
    found = find_existing(plan, database.open_storage(plan.storage), ())
    assert found.over == 1, "it is resumed"
    text = (StudyFolder("shop").path / "study.json").read_text()
    assert str(old) not in text
    if not copy:
        assert not old.exists(), "nothing was made where the home was"


def test_a_record_of_an_earlier_version_is_understood(at, finished, small_study):
    finished(small_study)
    folder = StudyFolder("shop")
    record = folder.read_record()
    whole = record.model_copy(
        update={
            "storage": f"sqlite:///{paths.home()}/optuna.db",
            "tracking": f"sqlite:///{paths.home()}/mlflow.db",
        }
    )
    folder.write_record(whole)
    home = at("moved")
    assert sqlite_file(look_up("shop").storage) == home / "optuna.db"


def test_the_trackers_files_are_those_of_the_present_home(at, tmp_path):
    """The journal names folders of the home, and MLflow's store follows a home that is moved."""
    from mlflow import MlflowClient

    (tmp_path / "journal").mkdir()
    old = paths.home()
    files = old / "studies" / "s" / "models"
    files.mkdir(parents=True)
    (files / "best.txt").write_text("weights")
    uri = database.sqlite_url(old / "mlflow.db")
    events = [
        RunOpened(key="a", time=1, name="a"),
        Upload(key="a", time=2, folder=paths.recorded(files), names=["best.txt"]),
        RunClosed(key="a", time=3, state=RunState.FINISHED),
    ]
    runs: dict[str, str] = {}
    MlflowSink(uri, "s", "u").deliver(events, runs)

    class Away:
        place = "nowhere"

        def deliver(self, events, runs):
            raise OSError("away")

    tracker = JournalTracker(tmp_path / "journal", Away(), every=0.01)
    tracker.upload("a", files, ["best.txt"])
    assert tracker.close(0.1).waiting == 1
    assert str(old) not in (tmp_path / "journal" / "tracking.jsonl").read_text()

    home = at("a%41b")
    sink = MlflowSink(database.sqlite_url(home / "mlflow.db"), "s", "u")
    sink.deliver([event.model_copy(update={"key": "b"}) for event in events], runs)
    client = MlflowClient(for_mlflow(default_uri()).reveal())
    (experiment,) = [e for e in client.search_experiments() if e.name == "s"]
    assert experiment.artifact_location == (home / "mlartifacts" / "s").as_uri()
    assert client.get_run(runs["a"]).info.artifact_uri.startswith(home.as_uri())
    assert [file.path for file in client.list_artifacts(runs["a"])] == ["best.txt"]
    assert not old.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"journal", "a%41b"}

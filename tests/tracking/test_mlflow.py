"""The MLflow sink against a real store in SQLite."""

from __future__ import annotations

import time
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import parse_qs

import pytest
from mlflow.entities import Dataset, DatasetInput

from mmsr.tracking import RunState, Unshipped, check_tracking, default_uri
from mmsr.tracking.base import (
    KEY_TAG,
    DataUsed,
    Metrics,
    ModelLogged,
    RunClosed,
    RunOpened,
    Tags,
    Upload,
)
from mmsr.tracking.journal.shipment import unshipped
from mmsr.tracking.journal.shipper import JournalTracker
from mmsr.tracking.journal.sink import Forgotten, Refused, Unavailable
from mmsr.tracking.mlflow import STATE_TAG, MlflowSink
from mmsr.tracking.mlflow_place import (
    artifacts_of,
    compare_page,
    curves_page,
    make_store,
    metric_name,
    move_artifacts,
    run_ids,
    run_page,
)
from mmsr.urls import Url

DATA = DataUsed(name="shop", digest="0123456789" * 6, source="/shop", profile={"users": 3})


@pytest.fixture
def store(home, put_store):
    put_store(home / "mlflow.db")
    return default_uri()


@pytest.fixture
def runs_of(store):
    """All runs of an experiment, by key."""

    def read(experiment="study"):
        from mlflow import MlflowClient

        client = MlflowClient(store)
        found = client.get_experiment_by_name(experiment)
        runs = client.search_runs([found.experiment_id])
        return {run.data.tags[KEY_TAG].partition("/")[2]: run for run in runs}, client

    return read


def open_run(key, **more):
    return RunOpened(key=key, time=1_000, name=f"run {key}", **more)


def test_a_study_as_mlflow_sees_it(store, runs_of, tmp_path):
    (tmp_path / "best.safetensors").write_bytes(b"weights")
    events = [
        open_run("study", params={"dataset": "shop"}),
        open_run("a", parent="study", params={f"p{n}": str(n) for n in range(130)}),
        Metrics(key="a", time=1_500, step=1, values={"valid/mrr@20": 0.25, "train/loss": 2.0}),
        Metrics(key="a", time=1_600, step=2, values={"valid/mrr@20": 0.5, "train/loss": 1.0}),
        Tags(key="a", time=1_700, tags={"mmsr.recovered": "yes", "long": "x" * 9000}),
        Upload(key="a", time=1_800, folder=str(tmp_path), names=["best.safetensors"]),
        RunClosed(key="a", time=2_000, state=RunState.PRUNED, tags={"mmsr.best_epoch": "2"}),
        open_run("b", parent="study"),
        RunClosed(key="b", time=2_000, state=RunState.FAILED, tags={"mmsr.error": "boom"}),
        RunClosed(key="study", time=2_500, state=RunState.FINISHED),
    ]
    runs: dict[str, str] = {}
    MlflowSink(store, "study", "uid").deliver(events, runs)
    found, client = runs_of()
    assert {key: run.info.run_id for key, run in found.items()} == runs
    assert {key: run.info.status for key, run in found.items()} == {
        "study": "FINISHED",
        "a": "KILLED",
        "b": "FAILED",
    }
    a = found["a"]
    assert a.data.tags["mlflow.parentRunId"] == runs["study"]
    assert a.data.tags[STATE_TAG] == "pruned"
    assert len(a.data.params) == 130
    history = client.get_metric_history(runs["a"], metric_name("valid/mrr@20"))
    assert [(m.step, m.value, m.timestamp) for m in history] == [(1, 0.25, 1500), (2, 0.5, 1600)]
    assert [file.path for file in client.list_artifacts(runs["a"])] == ["best.safetensors"]
    assert found["b"].data.tags["mmsr.error"] == "boom"


def test_a_run_ends_when_it_has_ended_whatever_is_recorded_later(store, runs_of, tmp_path):
    (tmp_path / "report.html").write_text("a page")
    later = [
        RunOpened(key="study", time=8_000, name="study", tags={"more": "yes"}, resume=False),
        Metrics(key="study", time=8_100, step=1, values={"valid/mrr@20": 0.5}),
        Upload(key="study", time=8_200, folder=str(tmp_path), names=["report.html"]),
        RunClosed(key="study", time=9_000, state=RunState.FAILED),
    ]
    runs: dict[str, str] = {}
    sink = MlflowSink(store, "study", "uid")
    ended = RunClosed(key="study", time=2_500, state=RunState.FAILED, tags={"mmsr.error": "boom"})
    sink.deliver([open_run("study"), ended], runs)
    for number, event in enumerate([*later, *later]):
        sink.deliver([event], runs)
        run = runs_of()[0]["study"]
        assert (run.info.status, run.info.end_time) == ("FAILED", 2_500), number
    assert (run.data.tags["more"], run.data.tags["mmsr.error"]) == ("yes", "boom")
    assert run.data.tags[STATE_TAG] == "failed"
    sink.deliver([open_run("study")], runs)
    assert runs_of()[0]["study"].info.status == "RUNNING"
    sink.deliver([RunClosed(key="study", time=9_500, state=RunState.FINISHED)], runs)
    run = runs_of()[0]["study"]
    assert (run.info.status, run.info.end_time) == ("FINISHED", 9_500), "it has run again"
    sink.deliver(
        [later[0].model_copy(update={"key": "new"}), later[3].model_copy(update={"key": "new"})],
        runs,
    )
    assert runs_of()[0]["new"].info.end_time == 9_000


def test_a_run_of_an_older_version_has_its_data_once(store, runs_of):
    digest = "0123456789ab" * 3
    runs: dict[str, str] = {}
    sink = MlflowSink(store, "study", "uid")
    sink.deliver([open_run("study")], runs)
    older = Dataset("shop", digest, "local", "/shop")
    sink._client.log_inputs(runs["study"], [DatasetInput(older)])
    for now in (digest, "f" * 36):
        used = DataUsed(name="shop", digest=now, source="/shop")
        sink.deliver([open_run("study", data=used)], runs)
    inputs = runs_of()[0]["study"].inputs.dataset_inputs
    assert sorted(one.dataset.digest for one in inputs) == [digest, "f" * 12]


def model_event(folder, digest, **more):
    given = {"name": "toys", "alias": "champion", "description": "# Card", **more}
    return ModelLogged(key="final", time=1_900, folder=str(folder), digest=digest, **given)


def test_a_model_is_registered_once_and_the_newest_is_the_champion(
    store, runs_of, tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    events = [open_run("final"), model_event(folder, "a", tags={"mmsr.study": "toys"})]
    runs: dict[str, str] = {}
    for sink in (MlflowSink(store, "study", "uid"), MlflowSink(store, "study", "uid")):
        sink.deliver(events, runs)
        sink.deliver(events[1:], runs)
    _, client = runs_of()
    (version,) = client.search_model_versions("name = 'toys'")
    assert (version.run_id, version.description) == (runs["final"], "# Card")
    assert version.tags["mmsr.study"] == "toys"
    assert (Path(version.source.removeprefix("file://")) / "MLmodel").read_text() == "flavors: {}"
    (model,) = client.search_logged_models([client.get_run(runs["final"]).info.experiment_id])
    assert (model.status, model.source_run_id) == ("READY", runs["final"])
    assert client.get_model_version_by_alias("toys", "champion").version == version.version

    sink.deliver([model_event(folder, "b")], runs)
    assert client.get_model_version_by_alias("toys", "champion").tags["mmsr.digest"] == "b"
    client.set_registered_model_alias("toys", "champion", version.version)
    sink.deliver([events[1], model_event(folder, "b")], runs)
    assert len(client.search_model_versions("name = 'toys'")) == 2
    champion = client.get_model_version_by_alias("toys", "champion")
    assert champion.version == version.version, "who moved the alias is not corrected"
    assert list(Path.cwd().iterdir()) == [], "MLflow's default store is not opened"


def test_registering_that_was_interrupted_is_finished(store, runs_of, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    runs: dict[str, str] = {}
    steps = ("log_model_artifacts", "create_model_version", "set_registered_model_alias")
    sink = MlflowSink(store, "study", "uid")
    for name in steps:
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, name, Mock(side_effect=ConnectionError("away")))
            with pytest.raises(Unavailable):
                sink.deliver([open_run("final"), model_event(folder, "a")], runs)
    sink.deliver([model_event(folder, "a")], runs)
    _, client = runs_of()
    assert len(client.search_model_versions("name = 'toys'")) == 1
    assert len(client.search_logged_models([client.get_run(runs["final"]).info.experiment_id])) == 1
    assert str(client.get_model_version_by_alias("toys", "champion").version) == "1"


def test_models_follow_a_home_that_is_moved(store, runs_of, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    runs: dict[str, str] = {}
    MlflowSink(store, "study", "uid").deliver([open_run("final"), model_event(folder, "a")], runs)
    move_artifacts(Url.parse(store), artifacts_of("study").as_uri(), "file:///elsewhere")
    _, client = runs_of()
    (version,) = client.search_model_versions("name = 'toys'")
    (model,) = client.search_logged_models([client.get_run(runs["final"]).info.experiment_id])
    places = [
        version.source,
        model.artifact_location,
        client.get_model_version_download_uri("toys", version.version),
    ]
    assert all(place.startswith("file:///elsewhere/models/") for place in places)


def test_a_model_whose_folder_is_gone_is_refused(store, tmp_path):
    with pytest.raises(Refused, match="is gone"):
        MlflowSink(store, "study", "uid").deliver(
            [open_run("final"), model_event(tmp_path / "nowhere", "a")], {}
        )


def test_delivering_twice_stores_once(store, runs_of):
    events = [
        open_run("study"),
        open_run("a", parent="study", params={"width": "8"}, data=DATA),
        *(Metrics(key="a", time=step, step=step, values={"loss": 1.0}) for step in range(5)),
        RunClosed(key="a", time=9, state=RunState.FINISHED),
    ]
    first: dict[str, str] = {}
    MlflowSink(store, "study", "uid").deliver(events, first)
    second: dict[str, str] = {}  # the notes of the first driver were lost
    MlflowSink(store, "study", "uid").deliver(events, second)
    assert first == second
    found, client = runs_of()
    assert len(found) == 2
    assert len(client.get_metric_history(first["a"], "loss")) == 5
    (used,) = found["a"].inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("shop", "012345678901")
    assert found["a"].info.status == "FINISHED"
    other: dict[str, str] = {}
    MlflowSink(store, "study", "namesake").deliver(events[:1], other)
    assert other["study"] != first["study"]


def test_a_run_that_is_opened_again_has_not_failed(store, runs_of):
    failure = {"mmsr.error": "boom", "mmsr.failure": "model", "mmsr.traceback": "line 1"}
    runs: dict[str, str] = {}
    sink = MlflowSink(store, "study", "uid")
    failed = RunClosed(key="a", time=2_000, state=RunState.FAILED, tags=failure)
    sink.deliver([open_run("a", tags={"mmsr.kind": "trial"}), failed], runs)
    sink.deliver([open_run("a"), RunClosed(key="a", time=3_000, state=RunState.FINISHED)], runs)
    found, _ = runs_of()
    tags = found["a"].data.tags
    assert (found["a"].info.status, tags[STATE_TAG]) == ("FINISHED", "finished")
    assert tags["mmsr.kind"] == "trial"
    assert not failure.keys() & tags.keys()


def test_a_deleted_experiment_is_taken_up_again(store, runs_of):
    MlflowSink(store, "study", "uid").deliver([open_run("study")], {})
    _, client = runs_of()
    client.delete_experiment(client.get_experiment_by_name("study").experiment_id)
    MlflowSink(store, "study", "uid").deliver([open_run("a")], {})
    assert "a" in runs_of()[0]


def test_an_experiment_that_is_gone_is_made_again(store, home, put_store, runs_of):
    sink = MlflowSink(store, "study", "uid")
    sink.deliver([open_run("a")], {})
    put_store(home / "mlflow.db")
    with pytest.raises(Forgotten):  # first, a missing run is refused
        sink.deliver([Tags(key="a", time=1, tags={"x": "y"})], {})
    sink.deliver([open_run("a")], {})
    assert set(runs_of()[0]) == {"a"}


def test_a_store_that_was_removed_gets_everything_again(store, home, tmp_path, runs_of):
    def sent():
        return JournalTracker(tmp_path, MlflowSink(store, "study", "uid"), every=0.01)

    tracker = sent()
    tracker.open_run("a", "trial")
    tracker.log("a", 1, {"loss": 0.5})
    assert tracker.close(60).waiting == 0
    (home / "mlflow.db").unlink()
    assert sent().close(60).waiting == 0
    assert runs_of()[0]["a"].data.metrics == {"loss": 0.5}


def test_an_experiment_deleted_for_a_while_gets_what_happened_meanwhile(store, runs_of, tmp_path):
    tracker = JournalTracker(tmp_path, MlflowSink(store, "study", "uid"), every=0.01)
    tracker.open_run("study", "study")
    tracker.open_run("a", "trial", parent="study")
    deadline = time.monotonic() + 60
    while unshipped(tmp_path).waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    _, client = runs_of()
    experiment = client.get_experiment_by_name("study").experiment_id
    client.delete_experiment(experiment)
    tracker.log("a", 1, {"loss": 1.0})
    tracker.close_run("a", RunState.FINISHED)
    tracker.open_run("b", "trial", parent="study")
    left = tracker.close(1)
    assert (left.waiting, left.refused) == (3, 0)
    assert f"mlflow experiments restore --experiment-id {experiment}" in left.why
    client.restore_experiment(experiment)
    later = JournalTracker(tmp_path, MlflowSink(store, "study", "uid"), every=0.01)
    later.close_run("b", RunState.FINISHED)
    assert later.close(10) == Unshipped()
    found, _ = runs_of()
    assert {found[key].info.status for key in ("a", "b")} == {"FINISHED"}
    assert found["a"].data.metrics == {"loss": 1.0}


def test_a_run_deleted_for_a_while_is_closed_in_the_end(store, runs_of, tmp_path):
    tracker = JournalTracker(tmp_path, MlflowSink(store, "study", "uid"), every=0.01)
    tracker.open_run("a", "trial")
    assert tracker.close(10) == Unshipped()
    run, (_, client) = tracker.run_id("a"), runs_of()
    client.delete_run(run)
    later = JournalTracker(tmp_path, MlflowSink(store, "study", "uid"), every=0.01)
    later.log("a", 1, {"loss": 1.0})
    later.close_run("a", RunState.FINISHED)
    assert later.close(10) == Unshipped(refused=2)
    client.restore_run(run)
    assert client.get_run(run).info.status == "RUNNING"
    last = JournalTracker(tmp_path, MlflowSink(store, "study", "uid"), every=0.01)
    assert last.close(10) == Unshipped()
    found, _ = runs_of()
    assert (found["a"].info.status, found["a"].data.metrics) == ("FINISHED", {"loss": 1.0})
    client.delete_run(run)
    MlflowSink(store, "study", "uid").deliver([open_run("a")], {"a": run})  # it is resumed
    assert client.get_run(run).info.lifecycle_stage == "active"


def test_a_file_that_cannot_be_stored_does_not_block(store, home, tmp_path):
    runs: dict[str, str] = {}
    sink = MlflowSink(store, "study", "uid")
    sink.deliver([open_run("a")], runs)
    (tmp_path / "model").write_text("weights")
    (home / "mlartifacts").write_text("no folder")
    upload = Upload(key="a", time=1, folder=str(tmp_path), names=["model"])
    with pytest.raises(Refused, match="no place for files"):
        sink.deliver([upload], runs)
    (home / "mlartifacts").unlink()
    sink.deliver([upload], runs)
    (tmp_path / "model").unlink()
    sink.deliver([upload], runs)  # gone, but stored before


def test_lost_run_ids_are_found_on_the_server(store, runs_of, tmp_path):
    runs: dict[str, str] = {}
    sink = MlflowSink(store, "study", "uid")
    sink.deliver([open_run("a")], runs)
    found: dict[str, str] = {}
    sink.deliver([RunClosed(key="a", time=9, state=RunState.FINISHED)], found)
    assert found == runs


def test_the_installed_mlflow_s_tables_can_be_used(store):
    assert check_tracking(store) is None


def test_errors_are_told_apart(store, tmp_path):
    sink = MlflowSink(store, "study", "uid")
    runs: dict[str, str] = {}
    sink.deliver([open_run("a", params={"width": "8"})], runs)
    with pytest.raises(Refused, match="gone"):
        sink.deliver([Upload(key="a", time=1, folder=str(tmp_path), names=["none"])], runs)
    with pytest.raises(Refused):
        sink.deliver([open_run("a", params={"width": "9"})], runs)
    with pytest.raises(Refused, match="no run"):
        sink.deliver([Tags(key="b", time=1, tags={})], runs)
    with pytest.raises(Unavailable):
        MlflowSink("http://127.0.0.1:9", "study", "uid").deliver([open_run("a")], {})


def test_a_new_store_is_there_whole_or_not_at_all(home, monkeypatch):
    """MLflow cannot open a store again whose making was cut off."""

    class Client:
        cut_off = True

        def __init__(self, uri):
            self.path = Path(uri.removeprefix("sqlite:///"))

        def search_experiments(self, **_):
            self.path.write_bytes(b"half a store")
            if self.cut_off:
                raise OSError(28, "No space left on device")
            self.path.write_bytes(b"a store")

    monkeypatch.setattr("mlflow.MlflowClient", Client)
    (home / ".mlflow.db.draft-killed").mkdir(parents=True)
    with pytest.raises(OSError, match="No space"):
        make_store(default_uri())
    assert {path.name for path in home.iterdir()} <= {".mlflow.db.lock"}
    monkeypatch.setattr(Client, "cut_off", False)
    make_store(default_uri())
    assert (home / "mlflow.db").read_bytes() == b"a store"
    monkeypatch.setattr(Client, "cut_off", True)
    make_store(default_uri())  # there is one: nothing is made
    assert {path.name for path in home.iterdir()} <= {".mlflow.db.lock", "mlflow.db"}


def test_the_page_of_a_study_shows_its_trials(store, home, runs_of):
    assert curves_page(store, "study", "valid/mrr@20") is None
    MlflowSink(store, "study", "uid").deliver(
        [
            open_run("study"),
            open_run("a", parent="study", tags={"mmsr.kind": "trial"}),
            open_run("b", parent="study", tags={"mmsr.kind": "trial"}),
            Metrics(key="a", time=1, step=1, values={"best/valid/mrr@20": 0.1}),
            Metrics(key="b", time=1, step=1, values={"best/valid/mrr@20": 0.2}),
        ],
        {},
    )
    path, _, query = curves_page(store, "study", "valid/mrr@20").partition("?")
    _, client = runs_of()
    experiment = client.get_experiment_by_name("study")
    assert path == f"#/experiments/{experiment.experiment_id}/runs"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    asked = {key: value for key, (value,) in parse_qs(query).items()}
    assert asked["orderByAsc"] == "false"
    found = client.search_runs(
        [experiment.experiment_id],
        asked["searchFilter"],
        order_by=[f"{asked['orderByKey']} DESC"],
    )
    assert [run.info.run_name for run in found] == ["run b", "run a"]
    ids = run_ids(store, "study", "uid", ["b", "not recorded", "a"])
    assert [client.get_run(one).info.run_name for one in ids] == ["run b", "run a"]
    own = run_page(store, "study", ids[0])
    assert own == f"{path}/{ids[0]}?workflowType=machine_learning"
    assert compare_page(store, "study", ids).startswith("#/compare-runs?runs=")
    (home / "mlflow.db").unlink()
    assert run_ids(store, "study", "uid", ["b"]) == []
    assert curves_page(store, "study", "valid/mrr@20") is None
    assert not (home / "mlflow.db").exists(), "looking makes no store"
    assert curves_page("http://127.0.0.1:9", "study", "valid/mrr@20") is None


def test_a_store_that_is_replaced_gets_all_again(store, home, runs_of, put_store, tmp_path):
    journal = tmp_path / "journal"
    journal.mkdir()
    tracker = JournalTracker(journal, MlflowSink(store, "study", "uid"), every=0.01)
    tracker.open_run("study", "study")
    tracker.log("study", 1, {"loss": 1.0})
    assert tracker.close(10) == Unshipped()
    put_store(home / "mlflow.db")
    later = JournalTracker(journal, MlflowSink(store, "study", "uid"), every=0.01)
    later.log("study", 2, {"loss": 0.5})
    assert later.close(10) == Unshipped()
    found, client = runs_of()
    history = client.get_metric_history(found["study"].info.run_id, "loss")
    assert [metric.step for metric in history] == [1, 2]

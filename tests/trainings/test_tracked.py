"""A training outside of studies in MLflow, and the delivery of what waits in journals."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmsr import paths
from mmsr.cli.app import app
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage.known_study import STUDY, look_up, open_journal
from mmsr.tracking import RunState, Unshipped, default_uri
from mmsr.tracking.base import EXPERIMENT, NOTE_TAG, RunClosed, RunOpened
from mmsr.tracking.databases import place_of
from mmsr.tracking.journal.sink import Unavailable
from mmsr.trainings.folder import records
from mmsr.trainings.reporting import RUN, tracked
from mmsr.trainings.sync import deliver_all
from mmsr.urls import Url


class Server:
    """In MLflow's place."""

    error = None
    stored = ()

    def __init__(self, uri, experiment, study):
        self.place, self.experiment = place_of(Url.parse(uri)), experiment

    def check(self, runs):
        pass

    def deliver(self, events, runs):
        if Server.error is not None:
            raise Server.error
        Server.stored = (*Server.stored, *((self.experiment, event) for event in events))


@pytest.fixture
def shop_of(study_home):
    return Dataset.open("shop")


@pytest.fixture(autouse=True)
def server(monkeypatch):
    monkeypatch.setattr("mmsr.tracking.mlflow.MlflowSink", Server)
    for place in ("study.storage.known_study.SHIP", "trainings.reporting._SHIP"):
        monkeypatch.setattr(f"mmsr.{place}_SECONDS", 0.1)
    monkeypatch.setattr("mmsr.trainings.sync.SHIP_SECONDS", 0.1)
    monkeypatch.setattr(Server, "error", None)
    monkeypatch.setattr(Server, "stored", ())
    return Server


def mmsr(*words):
    done = CliRunner().invoke(app, words)
    return done.exit_code, " ".join(done.output.split())


def train(shop, checkpoint=None, *, resumed=False, stop=None):
    config = Config.from_dict({"dataset": "shop", "model": {"width": 8}})
    metrics = {config.training.select_by: 0.25, "train/loss": 1.0}
    left = []
    with tracked(
        config,
        shop,
        Url.parse(default_uri(), "tracking URI"),
        checkpoint,
        resumed=resumed,
        notice=print,
        ended=left.append,
    ) as training:
        training.epoch(2 if resumed else 1, metrics, 1, metrics)
        if stop is not None:
            raise stop
    return left[0]


def test_a_run_has_a_name_params_curves_and_a_description(study_home, shop_of, server):
    assert train(shop_of) == Unshipped()
    assert {experiment for experiment, _ in server.stored} == {"train/shop"}
    events = [event for _, event in server.stored]
    assert [event.kind for event in events] == ["tags", "open", "metrics", "close"]
    about, opened, epoch, closed = events
    assert about.key == EXPERIMENT
    assert opened.name.endswith("· d8 · lr 2e-3")
    assert opened.params["model.width"] == "8"
    assert epoch.values["Objective/valid/mrr@20"] == 0.25
    assert epoch.values["system/process_memory_megabytes"] > 1
    assert closed.state == RunState.FINISHED
    assert "**valid/mrr@20 25.000 % at epoch 1**" in closed.tags[NOTE_TAG]
    assert list(paths.trainings().iterdir()) == []  # nothing is left of a training that is stored


@pytest.mark.parametrize(
    ("stop", "state", "why"),
    [
        (KeyboardInterrupt(), RunState.INTERRUPTED, None),
        (RuntimeError("no luck"), RunState.FAILED, "RuntimeError: no luck"),
    ],
)
def test_a_run_is_closed_however_it_ends(study_home, shop_of, server, stop, state, why):
    with pytest.raises(type(stop)):
        train(shop_of, stop=stop)
    closed = server.stored[-1][1]
    assert (closed.kind, closed.state, closed.tags.get("mmsr.error")) == ("close", state, why)


def test_a_resumed_training_goes_on_with_its_run(study_home, shop_of, server, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(shop_of, tmp_path / "run", stop=KeyboardInterrupt())
    (first,) = records()
    train(shop_of, tmp_path / "run", resumed=True)
    assert records() == []
    steps = [event.step for _, event in server.stored if event.kind == "metrics"]
    assert steps == [1, 2]
    assert first.command


def test_sync_sends_what_waits_and_closes_runs_of_dead_processes(
    study_home, shop_of, server, small_study, opened_study
):
    server.error = Unavailable("no route")
    assert train(shop_of).waiting == 4
    opened_study(make_plan(small_study, Options(name="small")), command="python small.py")
    tracker = open_journal(look_up("small"))
    tracker.open_run(STUDY, "study small")
    tracker.open_run("a", "run a", parent=STUDY)
    tracker.log("a", 1, {"loss": 0.5})
    tracker.close(0.1)  # and here its process dies
    code, out = mmsr("tracking", "sync")
    assert code == 1
    assert "study small: tracking: 5 events wait to be sent (the server is away: no route)" in out
    assert "4 events wait to be sent" in out
    assert "nothing is lost" in out
    server.error = None
    code, out = mmsr("tracking", "sync")
    assert code == 0
    assert "study small: sent 5 events" in out
    assert "on shop: sent 4 events" in out
    ends = {e.key: e for _, e in server.stored if isinstance(e, RunClosed)}
    assert ends["a"].state == ends[STUDY].state == RunState.INTERRUPTED
    assert "ended without closing it" in ends["a"].tags["mmsr.error"]
    opened = [e for _, e in server.stored if isinstance(e, RunOpened) and e.key == "a"]
    assert ends["a"].time >= opened[0].time
    assert mmsr("tracking", "sync") == (0, "nothing waits to be sent")


def test_sync_passes_over_a_study_that_is_run(study_home, server, small_study, opened_study):
    opened_study(make_plan(small_study, Options(name="small")), command="python small.py")
    known = look_up("small")
    tracker = open_journal(known)
    tracker.open_run("a", "run a")
    with known.folder.locked():
        (found,) = deliver_all()
    assert "is being run, and sends by itself" in found.told()[0]
    assert found.is_complete
    tracker.close(1)


@pytest.mark.parametrize(
    ("words", "variable", "records_it"),
    [
        ((), None, False),
        (("--track",), None, True),
        ((), "sqlite:///{home}/other.db", True),
        (("--no-track",), "sqlite:///{home}/other.db", False),
    ],
)
def test_train_is_tracked_where_a_place_is_set(
    study_home, server, monkeypatch, words, variable, records_it
):
    if variable is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable.format(home=study_home))
    quick = ("training.epochs=1", "model.width=8", "graph.n_codes=4", "graph.links_per_item=1")
    code, out = mmsr("train", "shop", *words, *(w for q in quick for w in ("--set", q)))
    assert code == 0, out
    assert bool(server.stored) == records_it
    if records_it:
        keys = {event.key for _, event in server.stored}
        assert keys == {EXPERIMENT, RUN}


def test_contradicting_options_are_refused(study_home):
    done = CliRunner().invoke(app, ["train", "shop", "--no-track", "--tracking-uri", "sqlite:///x"])
    assert "leave out --tracking-uri" in str(done.exception)

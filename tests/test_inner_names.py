"""What is used of Ray and Optuna past their public interface is there, and does what it is for.

Each test is named after the one thing that an upgrade has taken away when it fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy import inspect as inspect_database
from sqlalchemy import text

from mmsr import inner_names
from mmsr.inner_names import READ_OF_A_STUDY
from mmsr.study.search import Halving, Hyperband, Median, Tpe, recent
from mmsr.study.search.competition import AmongCurrent
from mmsr.study.search.study_view import StudyView
from mmsr.study.storage import database
from mmsr.urls import sqlite_url


@pytest.fixture
def study(tmp_path):
    storage = database.open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    return optuna.create_study(study_name="s", storage=storage, direction="maximize")


def test_optuna_study_storage(study):
    assert isinstance(inner_names.storage_of(study), optuna.storages.BaseStorage)


def test_optuna_study_id_of_studies_and_summaries(study):
    (summary,) = inner_names.storage_of(study).get_all_studies()
    assert inner_names.id_of_study(summary) == inner_names.id_of_study(study)


def test_optunas_table_of_studies(tmp_path):
    url = sqlite_url(tmp_path / "optuna.db")
    assert not database.is_made(url)
    (tmp_path / "optuna.db").touch()
    assert not database.is_made(url)
    database.open_storage(url)
    assert database.is_made(url)


def test_optunas_tables(study, tmp_path):
    storage = database.open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    assert storage.get_head_version() == inner_names.SCHEMA
    assert storage.get_current_version() == inner_names.SCHEMA
    inspector = inspect_database(storage.engine)
    for table, columns in inner_names.TABLES.items():
        assert set(columns) <= {column["name"] for column in inspector.get_columns(table)}
    with storage.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == (
            inner_names.SCHEMA
        )


def test_optuna_trial_id(study):
    study.ask()
    (trial,) = study.trials
    stored = inner_names.storage_of(study).get_trial(inner_names.id_of_trial(trial))
    assert stored.number == trial.number
    assert inner_names.id_of_trial(inner_names.with_id(trial, 99)) == 99


def test_optuna_study_get_trials_with_cache(study):
    study.ask()
    study.tell(study.ask(), 0.5)
    found = inner_names.all_trials(study, False, (TrialState.COMPLETE,), True)
    assert [trial.number for trial in found] == [1]


def test_optuna_rdb_storage_scoped_session_and_engine(study, tmp_path):
    rdb = database.open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    study_id = inner_names.id_of_study(study)
    session = rdb.scoped_session

    def fail_halfway():
        with inner_names.one_transaction(rdb):
            rdb.set_study_user_attr(study_id, "a", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert rdb.get_study_user_attrs(study_id) == {}, "all of it is kept, or nothing"
    with inner_names.one_transaction(rdb):
        rdb.set_study_user_attr(study_id, "a", 1)
    assert rdb.get_study_user_attrs(study_id) == {"a": 1}
    assert rdb.scoped_session is session


def test_what_optuna_undoes_in_silence_is_an_error(study, tmp_path):
    rdb = database.open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    number = study.ask().number
    trial_id = inner_names.id_of_trial(study.trials[number])
    one, other = FloatDistribution(0, 1), IntDistribution(0, 9)
    inner_names.storage_of(study).set_trial_param(trial_id, "x", 0.1, one)

    def write_what_another_has_written():
        with inner_names.one_transaction(rdb):
            rdb.set_trial_user_attr(trial_id, "mine", 1)
            rdb.set_trial_param(trial_id, "y", 3, other)
            rdb.set_trial_param(trial_id, "x", 0.7, one)

    with pytest.raises(StorageInternalError, match="another process"):
        write_what_another_has_written()
    stored = rdb.get_trial(trial_id)
    assert (stored.params, stored.user_attrs) == ({"x": 0.1}, {})


@pytest.mark.parametrize(
    "pruner",
    [
        Halving(first_rung=1, factor=2, startup_trials=0),
        Hyperband(first_rung=1, factor=2, startup_trials=0),
        Median(first_epoch=1, startup_trials=0),
    ],
    ids=str,
)
def test_what_optunas_pruners_read_of_a_study(study, pruner, monkeypatch):
    read = set()
    passed_on = StudyView.__getattr__

    def spy(view, name):
        read.add(name)
        return passed_on(view, name)

    monkeypatch.setattr(StudyView, "__getattr__", spy)
    study.pruner = pruner.build(9)
    assert isinstance(study.pruner, AmongCurrent)
    for value in (0.5, 0.4, 0.3):
        trial = study.ask()
        for epoch in range(1, 5):
            trial.report(value, epoch)
            trial.should_prune()
        study.tell(trial, value)
    assert read
    assert read <= READ_OF_A_STUDY


def test_what_optunas_tpe_reads_of_a_study(study, monkeypatch):
    monkeypatch.setattr(recent, "NEWEST", 4)
    study.sampler = Tpe(0).build(0, 0)
    for number in range(12):
        trial = study.ask()
        kind = trial.suggest_categorical("kind", ["a", "b"])
        trial.suggest_float(kind, 1e-3, 1.0, log=True)
        if kind == "b":
            trial.suggest_int("whole", 1, 9)
        study.tell(trial, number / 12)
    assert len(study.trials) == 12


def test_a_view_of_a_study_refuses_what_would_show_hidden_trials(study):
    class Nothing(StudyView):
        def chosen(self, trials):
            return []

    study.ask()
    view = Nothing(study)
    assert (view.get_trials(), view._get_trials()) == ([], [])
    with pytest.raises(AttributeError, match="'trials'"):
        _ = view.trials
    assert view.direction == study.direction


def test_ray_services_console_popen_get_node_and_resolve_ip_for_localhost(monkeypatch):
    from ray._private import node, services, worker

    registered = iter([RuntimeError, RuntimeError, {"state": "ALIVE"}])

    def get_node(*_):
        if (found := next(registered)) is RuntimeError:
            raise RuntimeError
        return found

    monkeypatch.setattr(services, "get_node", get_node)
    plain = (services.ConsolePopen, services.get_node, services.resolve_ip_for_localhost)
    with inner_names.starting_ray(60) as started:
        process = services.ConsolePopen(["true"])
        assert started == [process]
        assert process.wait() == 0
        assert services.get_node("address", "node") == {"state": "ALIVE"}
        assert services.resolve_ip_for_localhost("127.0.0.1") == "127.0.0.1"
    assert (services.ConsolePopen, services.get_node, services.resolve_ip_for_localhost) == plain
    assert "ConsolePopen(" in inspect.getsource(services.start_ray_process)
    assert "ray._private.services.get_node(" in inspect.getsource(node.Node.__init__)
    assert "services.resolve_ip_for_localhost(_node_ip" in inspect.getsource(worker.init)


def test_ray_authentication_token_loader_and_config(monkeypatch):
    from ray._raylet import AuthenticationMode, get_authentication_mode

    with monkeypatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "secret")
        inner_names.read_token_again()
        assert get_authentication_mode() == AuthenticationMode.TOKEN
    inner_names.read_token_again()


def test_ray_state_available_resources_per_node(monkeypatch):
    monkeypatch.setattr("ray._private.state.available_resources_per_node", lambda: {"a": {}})
    assert inner_names.free_resources() == {"a": {}}


def test_ray_state_cluster_config_and_its_node_groups():
    from ray._private.state import state
    from ray.core.generated.autoscaler_pb2 import ClusterConfig

    assert callable(state.get_cluster_config)
    group = ClusterConfig().node_group_configs.add()
    group.max_count = -1
    group.resources["CPU"] = 8
    assert dict(group.resources) == {"CPU": 8}


def test_ray_init_node_ip_address_and_temp_dir():
    import ray

    arguments = inner_names.place_of_ray(Path("/tmp/place"))
    assert arguments["_temp_dir"] == "/tmp/place"
    assert all(f'kwargs.pop("{name}"' in inspect.getsource(ray.init) for name in arguments)


def test_tune_controller_actor_manager_cleanup():
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.tune.execution import tune_controller

    assert "self._actor_manager = RayActorManager(" in inspect.getsource(
        tune_controller.TuneController
    )
    assert "ray.kill" in inspect.getsource(RayActorManager.cleanup)
    inner_names.kill_workers(None)


def test_tune_controller_checkpoint_manager_sync_every_n_trial_checkpoints():
    from ray.tune.execution import experiment_state, tune_controller

    assert "self._checkpoint_manager = " in inspect.getsource(tune_controller.TuneController)
    manager = inspect.getsource(experiment_state._ExperimentCheckpointManager)
    assert "self._sync_every_n_trial_checkpoints" in manager
    controller = SimpleNamespace(_checkpoint_manager=SimpleNamespace())
    inner_names.keep_no_snapshots(controller)
    assert controller._checkpoint_manager._sync_every_n_trial_checkpoints is None


@pytest.fixture
def trial(tmp_path):
    """A trial of Ray Tune that has run nowhere."""
    import ray.tune.experiment

    made = ray.tune.experiment.Trial("x", stub=True, config={"task": "t", "number": 1})
    made.temporary_state.ray_actor = None
    return made


def test_tune_trial_max_failures_and_num_failures(trial):
    inner_names.allow_deaths(trial, 2)
    assert trial.max_failures == trial.num_failures + 2
    inner_names.kill_worker(trial)
    assert trial.max_failures == 0


def test_tune_trial_run_metadata(trial):
    metadata = trial.run_metadata
    metadata.metric_analysis["m"] = {}
    metadata.metric_n_steps["m"] = {}
    metadata.last_result = {"config": {"task": "t"}, "kept": 1}
    assert metadata.checkpoint_manager.best_checkpoint_results == []
    inner_names.drop_unread(trial)
    assert (metadata.metric_analysis, metadata.metric_n_steps) == ({}, {})
    assert (trial.config, metadata.last_result) == ({"number": 1}, {"kept": 1})


def test_tune_trial_error_file(trial):
    assert isinstance(inspect.getattr_static(trial, "error_file"), property)
    assert inner_names.error_file_of(SimpleNamespace(error_file="error.txt")) == "error.txt"


def test_every_inner_name_has_a_canary():
    used = {
        name
        for name, value in vars(inner_names).items()
        if isinstance(value, Callable) and getattr(value, "__module__", "") == inner_names.__name__
    }
    here = inspect.getsource(inspect.getmodule(test_every_inner_name_has_a_canary))
    called = {name for name in used if f"inner_names.{name}(" in here}
    assert used - called == {"node_groups"}, "that one needs a cluster: see test_cluster.py"

"""What mmsr uses of Ray and Optuna that they do not document, and that an upgrade may remove.

Each function says why no public interface will do. `tests/test_inner_names.py` fails
by name if an installed version lacks one; `pyproject.toml` bounds the versions. Of MLflow only the
public interface is used.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.trial import FrozenTrial, TrialState

READ_OF_A_STUDY = frozenset(
    {"direction", "directions", "_is_multi_objective", "_storage", "_study_id"}
)
"""What Optuna's pruners and samplers read of a study besides its trials. They also write through
`_storage`: successive halving stores the rungs that a trial has passed."""

TABLE_OF_STUDIES = "studies"
"""Optuna's table that tells whether a database is a storage; opening one makes it."""
SCHEMA = "v3.2.0.a"
"""Version of Optuna's tables, which a storage has in its table `alembic_version`."""
TABLES: Mapping[str, tuple[str, ...]] = {
    TABLE_OF_STUDIES: ("study_id", "study_name"),
    "study_user_attributes": ("study_id", "key", "value_json"),
    "trials": ("trial_id", "study_id", "number", "state"),
    "trial_user_attributes": ("trial_id", "key", "value_json"),
    "trial_values": ("trial_id", "objective", "value", "value_type"),
    "trial_intermediate_values": ("trial_id", "intermediate_value"),
}
"""Columns of its tables in that version; Optuna itself reads trials only whole."""
ROLLED_BACK = "another process wrote to the same study, and the database undid what was written"


# Optuna


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage that `study` writes to; `optuna.Study` has no public way to it."""
    return study._storage


def id_of_study(study: Any) -> int:
    """The storage's id of `study`, a study or the summary of one."""
    return int(study._study_id)


def id_of_trial(trial: FrozenTrial) -> int:
    """The storage's id of `trial`; the public `number` counts within one study."""
    return trial._trial_id


def with_id(trial: FrozenTrial, trial_id: int) -> FrozenTrial:
    """The same trial with the id that a storage gave it; nothing public sets it.

    Parameters
    ----------
    trial : the trial, which is changed.
    trial_id : its id.
    """
    trial._trial_id = trial_id
    return trial


def all_trials(
    study: optuna.Study,
    deepcopy: bool,
    states: Container[TrialState] | None,
    use_cache: bool,
) -> list[FrozenTrial]:
    """A study's trials as Optuna's samplers read them: `get_trials` has no `use_cache`.

    Parameters
    ----------
    study : the study.
    deepcopy : return copies.
    states : only trials in these states; None returns all.
    use_cache : answer from Optuna's cache of the study, if it has one.
    """
    return study._get_trials(deepcopy, states, use_cache)


@contextmanager
def one_transaction(database: RDBStorage) -> Iterator[None]:
    """Let everything that a storage writes inside this context be one transaction.

    Optuna commits every call by itself.

    Parameters
    ----------
    database : the storage. Inside the context its sessions are bound to one connection; a session
        does not end a transaction that its connection began.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.orm import scoped_session, sessionmaker

    session = database.scoped_session
    try:
        with database.engine.begin() as connection:
            database.scoped_session = scoped_session(sessionmaker(bind=connection))
            yield
            if not connection.in_transaction():
                raise StorageInternalError(ROLLED_BACK)
    finally:
        database.scoped_session = session


# Ray


@contextmanager
def starting_ray(seconds: float) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Let `ray.init` start Ray on this machine as its own options cannot.

    - On loopback alone. Ray listens on all addresses, unless its node has exactly the address
      127.0.0.1, for which `ray.init` puts this machine's outer address.
    - Outside this process's group. A signal to the group (`kill -TERM -PID`, systemd, a batch
      system) would end Ray before the study could stop in good order: the study would wait for it
      in vain and fail. Ray's processes still end with this one, however it ends.
    - With patience. Ray gives its node 30 seconds, which a busy machine may exceed.

    Parameters
    ----------
    seconds : how long Ray may take.

    Yields
    ------
    The processes that were started so far; whoever's start fails must end them.

    Raises
    ------
    OSError : Ray took longer, or one of its servers has ended; out of `ray.init`.
    """
    from ray._private import services

    started: list[subprocess.Popen[bytes]] = []
    deadline = time.monotonic() + seconds
    start: Any = services.ConsolePopen
    node_of: Any = services.get_node

    def start_in_own_group(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(start(*args, **options, process_group=0))
        return started[-1]

    def wait_for_node(*args: Any) -> Any:
        while True:
            try:
                return node_of(*args)
            except RuntimeError:  # not registered yet
                for process in started:
                    name = Path(process.args[0]).name  # type: ignore[index, arg-type]  # Ray gives lists
                    if name in ("gcs_server", "raylet") and process.poll() is not None:
                        raise OSError(f"its {name} has ended") from None
                if time.monotonic() > deadline:
                    raise OSError(f"it did not answer within {seconds:.0f} seconds") from None
                time.sleep(0.1)

    with (
        patch.object(services, "resolve_ip_for_localhost", lambda host: host),
        patch.object(services, "ConsolePopen", start_in_own_group),
        patch.object(services, "get_node", wait_for_node),
    ):
        yield started


def place_of_ray(folder: Path) -> dict[str, Any]:
    """Arguments of `ray.init` for a Ray on loopback that keeps its sessions in `folder`.

    It has no public ones for either but environment variables, which would stay.
    """
    return {"_node_ip_address": "127.0.0.1", "_temp_dir": str(folder)}


def read_token_again() -> None:
    """Let Ray read its token and whether it needs one from the environment; it does so only once.

    Must not be called while Ray runs.
    """
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # compiled

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def free_resources() -> Mapping[str, Mapping[str, float]]:
    """Unused resources of each node; the public `ray.available_resources` adds up all nodes."""
    from ray._private.state import available_resources_per_node

    found: Mapping[str, Mapping[str, float]] = available_resources_per_node()  # type: ignore[no-untyped-call]
    return found


def node_groups() -> list[Any]:
    """The kinds of nodes that the cluster's autoscaler may start; nothing public lists them.

    Each has `resources` by name and `max_count`, which is negative if there is no limit.
    """
    from ray._private.state import state

    config = state.get_cluster_config()
    return list(config.node_group_configs) if config is not None else []


# Ray Tune


def keep_no_snapshots(tune_controller: Any) -> None:
    """Keep Tune from writing down all trials each time that one has saved two checkpoints.

    The file grows with every trial, and nobody reads it: the study's state is in Optuna's storage.
    No setting turns it off.

    Parameters
    ----------
    tune_controller : Tune's controller.
    """
    tune_controller._checkpoint_manager._sync_every_n_trial_checkpoints = None


def allow_deaths(trial: Any, deaths: int) -> None:
    """Allow a trial's worker more deaths from now on; Tune's own limit counts from the start.

    Parameters
    ----------
    trial : Tune's trial.
    deaths : how many more.
    """
    trial.max_failures = trial.num_failures + deaths


def kill_worker(trial: Any) -> None:
    """Kill the process that trains `trial`, and keep Tune from starting it again."""
    import ray

    trial.max_failures = 0
    if (worker := trial.temporary_state.ray_actor) is not None:
        ray.kill(worker)


def kill_workers(tune_controller: Any) -> None:
    """Kill the workers of all trials and remove their placement groups, without waiting for any.

    The public `cleanup` first waits for the trials to end, and tells the callbacks that they did.

    Parameters
    ----------
    tune_controller : Tune's controller; None if it has made no trial.
    """
    if tune_controller is not None:
        tune_controller._actor_manager.cleanup()


def drop_unread(trial: Any) -> None:
    """Drop what Tune keeps of `trial` after its end: nobody reads it, and it adds up."""
    kept = trial.run_metadata
    kept.metric_analysis.clear()
    kept.metric_n_steps.clear()
    # The task comes back from the worker with each report.
    checkpoints = (found.metrics for found in kept.checkpoint_manager.best_checkpoint_results)
    for result in (kept.last_result, *checkpoints):
        result.pop("config", None)
    trial.config.pop("task", None)


def error_file_of(trial: Any) -> str | None:
    """Path of the file in which Tune records why the workers of `trial` ended; None without one."""
    path: str | None = trial.error_file
    return path

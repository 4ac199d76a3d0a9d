"""The owned storage: Optuna's own contract, equality with the database, and whole transactions."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import InvalidRequestError

from mmsr.study.storage.database import open_storage
from mmsr.study.storage.single_writer import SingleWriterStorage, together


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables, made once: it takes a while."""
    file = tmp_path_factory.mktemp("empty") / "optuna.db"
    open_storage(f"sqlite:///{file}").remove_session()
    return file


@pytest.fixture
def url(empty: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(empty, tmp_path)}"


@pytest.fixture
def storage(url: str) -> SingleWriterStorage:
    return SingleWriterStorage(open_storage(url))


class TestContract(StorageTestCase):
    """Optuna's tests of every storage."""


def in_the_database(url: str) -> list[FrozenTrial]:
    return optuna.load_study(study_name="s", storage=open_storage(url)).trials


def comparable(trials: list[FrozenTrial]) -> list[dict]:
    """Trials without their times, which memory and database each take for themselves."""
    return [
        {
            name: value
            for name, value in vars(trial).items()
            if name not in ("_datetime_start", "datetime_complete")
        }
        for trial in trials
    ]


def run_some(study: optuna.Study, seed: int) -> None:
    """Ask, report, prune and tell in an order of chance; some trials stay under way."""
    chance = random.Random(seed)
    study.enqueue_trial({"x": 0.5}, user_attrs={"origin": ("known", 1)})
    live = []
    for _ in range(12):
        for other in list(live):
            step = len(study.trials[other.number].intermediate_values)
            other.report(chance.random(), step)
            if other.should_prune():
                study.tell(other, state=TrialState.PRUNED)
                live.remove(other)
            elif chance.random() < 0.3:
                study.tell(other, chance.random())
                live.remove(other)
        trial = study.ask()
        with together(study):
            trial.suggest_float("x", 0, 1)
            trial.suggest_categorical("kind", ["a", "b"])
            trial.set_user_attr("config", {"width": trial.number, "sizes": (1, 2)})
        live.append(trial)


@pytest.mark.parametrize("seed", range(3))
def test_memory_equals_the_database(url, storage, seed):
    study = optuna.create_study(
        study_name="s",
        storage=storage,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    )
    run_some(study, seed)
    assert len({trial.state for trial in study.trials}) >= 3
    assert comparable(study.trials) == comparable(in_the_database(url))
    assert comparable(study.trials) == comparable(
        optuna.load_study(study_name="s", storage=SingleWriterStorage(open_storage(url))).trials
    )
    assert study.best_trial.number in {t.number for t in study.trials if t.value is not None}


def test_nothing_of_a_broken_transaction_is_kept(url, storage):
    study = optuna.create_study(study_name="s", storage=storage)
    study.enqueue_trial({"x": 0.25})

    def write() -> None:
        with together(study):
            first, second = study.ask(), study.ask()
            first.suggest_float("x", 0, 1)
            study.tell(first, 1 / (second.number - 1))

    with pytest.raises(ZeroDivisionError):
        write()
    assert [trial.state for trial in study.trials] == [TrialState.WAITING]
    assert comparable(study.trials) == comparable(in_the_database(url))
    again = study.ask()
    assert (again.number, again.suggest_float("x", 0, 1)) == (0, 0.25)


def test_a_transaction_is_seen_whole_by_others(url, storage):
    study = optuna.create_study(study_name="s", storage=storage)
    with together(study):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        assert in_the_database(url) == []
        study.tell(trial, 1.0)
    assert comparable(in_the_database(url)) == comparable(study.trials)


KILLED = """
import os, signal, sys
import optuna
from mmsr.study.storage.single_writer import SingleWriterStorage, together
from mmsr.study.storage.database import open_storage

study = optuna.create_study(study_name="s", storage=SingleWriterStorage(open_storage(sys.argv[1])))
with together(study):
    first = study.ask()
    first.suggest_float("x", 0, 1)
    first.set_user_attr("key", "trial-00000")
first.report(0.5, 1)
with together(study):
    second = study.ask()
    second.suggest_float("x", 0, 1)
    study.tell(first, 1.0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_driver_killed_in_a_transaction_leaves_what_was_before_it(url):
    done = subprocess.run([sys.executable, "-c", KILLED, url], check=False)
    assert done.returncode == -signal.SIGKILL
    (first,) = in_the_database(url)
    assert first.state == TrialState.RUNNING
    assert first.intermediate_values == {1: 0.5}
    assert first.user_attrs == {"key": "trial-00000"}
    study = optuna.load_study(study_name="s", storage=SingleWriterStorage(open_storage(url)))
    study.tell(0, 2.0)
    assert (study.ask().number, study.best_value) == (1, 2.0)


def test_trials_are_not_read_again(storage, monkeypatch):
    study = optuna.create_study(study_name="s", storage=storage)
    run_some(study, 0)
    number = next(t.number for t in study.trials if t.state == TrialState.RUNNING)
    read, known = optuna.storages.RDBStorage.get_trial, {trial._trial_id for trial in study.trials}

    def only_what_is_new(self, trial_id):
        assert trial_id not in known
        return read(self, trial_id)

    monkeypatch.setattr("optuna.storages.RDBStorage.get_trial", only_what_is_new)
    monkeypatch.setattr("optuna.storages.RDBStorage.get_all_trials", None)
    monkeypatch.setattr("optuna.storages.RDBStorage._get_trials", None)
    study.tell(number, 1.0)
    assert study.trials[number].value == 1.0
    assert study.ask().number == len(study.trials) - 1


@pytest.mark.parametrize("last", [True, False])
def test_what_another_process_has_written_is_an_error_and_memory_tells_no_lie(url, last):
    storage = SingleWriterStorage(open_storage(url))
    study = optuna.create_study(study_name="s", storage=storage)
    trial = study.ask()
    open_storage(url).set_trial_param(trial._trial_id, "x", 0.1, FloatDistribution(0, 1))

    def write():
        with together(study):
            trial.set_user_attr("key", "trial-00000")
            trial.suggest_float("x", 0, 1)
            if not last:
                trial.set_user_attr("after", 1)

    with pytest.raises((StorageInternalError, InvalidRequestError)):
        write()
    (known,) = study.trials
    (stored,) = optuna.load_study(study_name="s", storage=open_storage(url)).trials
    assert (known.params, known.user_attrs) == (stored.params, stored.user_attrs)
    assert (stored.params, stored.user_attrs) == ({"x": 0.1}, {})

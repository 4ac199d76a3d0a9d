"""A trial on a worker: how its failures are told, without Ray."""

from __future__ import annotations

import errno
import os
import sys
from types import ModuleType, SimpleNamespace

import pytest

from mmsr.config import Config
from mmsr.data.closed import TRIAL
from mmsr.errors import UserError
from mmsr.study.workers.messages import Failure, Task
from mmsr.study.workers.trial import run_trial


@pytest.fixture
def failure_of(shop, monkeypatch):
    """Run a trial whose training raises; returns what it reports."""
    reports = []
    monkeypatch.setenv(TRIAL, "")  # so that the mark of a trial goes with the test
    monkeypatch.delenv(TRIAL)
    monkeypatch.setattr("ray.tune.get_checkpoint", lambda: None)
    monkeypatch.setattr("ray.tune.report", lambda told, **_: reports.append(told))

    def run(raising=None, **changes):
        module = ModuleType("raising")
        module.train = lambda *_, **__: raising()
        monkeypatch.setitem(sys.modules, "raising", module)
        task = Task(
            number=0,
            config=Config(dataset="shop").to_dict(),
            dataset_hash=shop.content_hash,
            device="cpu",
            home=os.environ["MMSR_HOME"],
            trainer="raising:train",
        ).model_copy(update=changes)
        run_trial({"task": task.model_dump_json()})
        (told,) = reports
        return Failure.model_validate_json(told["failure"])

    return run


def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def explained():
    try:
        full()
    except OSError:
        raise UserError("the cache cannot be written") from None


def bug():
    raise ValueError("no such thing\nand more")


def missing():
    raise FileNotFoundError(errno.ENOENT, "no such file")


@pytest.mark.parametrize(
    ("raising", "environment"), [(full, True), (explained, True), (bug, False), (missing, False)]
)
def test_a_full_disk_is_told_from_a_trials_own_error(failure_of, raising, environment):
    failure = failure_of(raising)
    assert failure.environment == environment
    assert "\n" not in failure.error
    assert raising.__name__ in failure.traceback


def test_a_machine_with_other_data_is_at_fault(failure_of):
    failure = failure_of(dataset_hash="0" * 64)
    assert failure.environment
    assert "is not the one the study was made with" in failure.error


def test_a_machine_with_no_data_is_at_fault(failure_of):
    failure = failure_of(config=Config(dataset="elsewhere").to_dict())
    assert failure.environment
    assert "unknown data set 'elsewhere'" in failure.error


def test_a_machine_with_a_home_of_its_own_is_at_fault(failure_of):
    # What Ray raises where the driver's folder is not to be seen.
    def raising():
        yield SimpleNamespace(
            epoch=1,
            metrics={},
            best_epoch=1,
            best_metrics={},
            finished=False,
            save_checkpoint=refused,
        )

    failure = failure_of(raising)
    assert failure.environment
    assert "set MMSR_HOME to one that all nodes share" in failure.error


def test_the_process_is_a_trials_before_its_trainer_is_loaded_and_stays_one(failure_of):
    assert "no_such_module" in failure_of(trainer="no_such_module:train").error
    assert os.environ[TRIAL] == "trial 0"


def refused(folder):
    raise RuntimeError("Unable to set up cluster storage with the following settings:\n…")

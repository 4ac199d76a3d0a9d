"""A study that was run in this process, without Ray, for everything that reads studies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmsr.study import Choice, Float, Study
from mmsr.study.driver.ledger import Ledger
from mmsr.study.planning.plan import Plan
from mmsr.study.workers.messages import Failure, Report

METRICS = [f"valid/{name}@{k}" for name in ("hr", "mrr", "ndcg") for k in (5, 10, 20)]
EPOCHS = 3
UNLUCKY = 24
"""The width with which a trial fails."""


def score(width: int, epoch: int) -> float:
    """The objective of a config after an epoch."""
    return width / 1000 * (1 - 0.5**epoch)


def pretend(plan: Plan, ledger: Ledger, n_trials: int, *_: object) -> None:
    """Stands for Tune: trials run one after the other, and each epoch takes no time."""
    for runner_id in map(str, range(n_trials)):
        if ledger.stop_reason is not None:
            return
        proposal = ledger.ask(runner_id)
        width = proposal.config.model.width
        for epoch in range(1, EPOCHS + 1):
            if width == UNLUCKY and epoch == 2:
                ledger.fail(runner_id, Failure(error="ValueError: bad luck", traceback=""))
                break
            metrics = dict.fromkeys(METRICS, score(width, epoch))
            finished = epoch == EPOCHS
            ledger.report(
                runner_id,
                Report(
                    epoch=epoch,
                    metrics={**metrics, "train/loss": 1 / epoch},
                    best_epoch=epoch,
                    best_metrics=metrics,
                    finished=finished,
                ),
            )


def declared(name: str, **changes: Any) -> Study:
    """A study of four trials, one of which fails."""
    widths = (8, 16, UNLUCKY, 40)
    settings = [{"model.width": width, "model.dropout": 0.3} for width in widths]
    space = {"model.width": Choice(*widths), "model.dropout": Float(0.0, 0.6, step=0.1)}
    given = {"trials": 4, "epochs": EPOCHS, "enqueue": settings, "pruner": None, **changes}
    return Study(dataset="shop", name=name, space=space, **given)


@pytest.fixture(name="pretend")
def pretended() -> Callable[..., None]:
    """Stands for Tune, see `pretend`."""
    return pretend


@pytest.fixture
def declare() -> Callable[..., Study]:
    """Declares a study of four trials, one of which fails."""
    return declared


@pytest.fixture(scope="session")
def finished(
    shop_home: Path, tmp_path_factory: pytest.TempPathFactory, without_ray: Callable[..., None]
) -> SimpleNamespace:
    """A finished study `small` in a home of its own, and the result of its run; to be read only."""
    home = tmp_path_factory.mktemp("reader") / "home"
    for part in ("datasets", "held-out"):
        shutil.copytree(shop_home / part, home / part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(home))
        for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "MMSR_STORAGE"):
            patch.delenv(name, raising=False)
        without_ray(patch, pretend)
        result = declared("small").run()
    return SimpleNamespace(home=home, result=result)


@pytest.fixture
def small(finished: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The result of the study `small`, in whose home this test is."""
    monkeypatch.setenv("MMSR_HOME", str(finished.home))
    return finished.result


@pytest.fixture
def runs(
    study_home: Path, monkeypatch: pytest.MonkeyPatch, without_ray: Callable[..., None]
) -> Callable[..., Any]:
    """Runs a study in a new home, without Ray; `tune` stands for Tune."""

    def run(name: str, tune: Callable[..., None] = pretend, **changes: Any) -> Any:
        without_ray(monkeypatch, tune)
        return declared(name, **changes).run()

    return run

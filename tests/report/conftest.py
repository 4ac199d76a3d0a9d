"""A study whose trials were trained for real, and studies of made-up trials."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from mmsr.study import Choice, Float, Int, Study
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.opening import open_study_of
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.results.outcome import Ended
from mmsr.study.storage import database
from mmsr.study.storage.known_study import KnownStudy, look_up
from mmsr.study.workers.messages import Failure, Report


@pytest.fixture(scope="session")
def trained_home(
    shop_home: Path, tmp_path_factory: pytest.TempPathFactory, without_ray: Callable[..., None]
) -> Path:
    """A home with the finished study `small` of three trials, trained in this process."""
    home = tmp_path_factory.mktemp("trained") / "home"
    for part in ("datasets", "held-out"):
        shutil.copytree(shop_home / part, home / part)
    study = Study(
        dataset="shop",
        name="small",
        trials=3,
        epochs=2,
        space={
            "graph.n_codes": Int(4, 8, step=2),
            "graph.links_per_item": Int(1, 2),
            "model.fusion": Choice("adaptive", "early"),
            "training.learning_rate": Float(1e-3, 1e-1, log=True),
        },
        base={"model.width": 8, "training.batch_size": 32, "model.scoring": "item_and_codes"},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        without_ray(patch)
        assert study.run().ended is Ended.FINISHED
    return home


@pytest.fixture
def trained(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> KnownStudy:
    """The study `small` of `trained_home`."""
    monkeypatch.setenv("MMSR_HOME", str(trained_home))
    return look_up("small")


@pytest.fixture
def made_up(small_study: Study, study_home: Path) -> Callable[..., KnownStudy]:
    """Makes a study, and trials with these values of the first objective; a text is an error.

    All trials have the metrics of `more`, too.
    """

    def make(
        outcomes: Any = (),
        name: str = "made-up",
        running: int = 0,
        more: Mapping[str, float] = MappingProxyType({}),
        **changes: Any,
    ) -> KnownStudy:
        study = dataclasses.replace(small_study, **{"pruner": None, **changes})
        plan = make_plan(study, Options(name=name, trials=max(1, len(outcomes) + running)))
        plan.folder.path.mkdir(parents=True)
        opened = open_study_of(plan, database.open_storage(plan.storage))
        ledger = Ledger(opened, plan.rules(), plan.folder.ray)
        for place, outcome in enumerate(outcomes):
            trial = f"t{place}"
            ledger.ask(trial)
            if isinstance(outcome, str):
                ledger.fail(trial, Failure(error=outcome, traceback="line 1"))
                continue
            for epoch in (1, 2):
                metrics = dict.fromkeys(plan.definition.objectives, outcome * epoch / 2) | more
                ledger.report(
                    trial,
                    Report(
                        epoch=epoch,
                        metrics=metrics,
                        best_epoch=epoch,
                        best_metrics=metrics,
                        finished=epoch == 2,
                        seconds=30.0 * epoch,
                    ),
                )
        for place in range(running):
            ledger.ask(f"r{place}")
        return look_up(name)

    return make

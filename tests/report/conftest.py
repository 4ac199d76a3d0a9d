"""A study that was trained for real, opened, and studies of made-up trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from mmsr.study import Study
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.opening import open_study_of
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage import database
from mmsr.study.storage.known_study import KnownStudy, look_up
from mmsr.study.workers.messages import Failure, Report
from mmsr.tracking.energy import UNMEASURED, Energy


@pytest.fixture
def trained(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> KnownStudy:
    """The study `small` of `trained_home`."""
    monkeypatch.setenv("MMSR_HOME", str(trained_home))
    return look_up("small")


@pytest.fixture
def made_up(small_study: Study, study_home: Path) -> Callable[..., KnownStudy]:
    """Makes a study, and trials with these values of the first objective; a text is an error.

    All trials have the metrics of `more`, too, and the `energy` after their second epoch.
    """

    def make(
        outcomes: Any = (),
        name: str = "made-up",
        running: int = 0,
        more: Mapping[str, float] = MappingProxyType({}),
        energy: Energy = UNMEASURED,
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
                        energy=energy if epoch == 2 else UNMEASURED,
                    ),
                )
        for place in range(running):
            ledger.ask(f"r{place}")
        return look_up(name)

    return make

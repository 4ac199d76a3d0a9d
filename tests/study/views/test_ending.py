"""The screen at the end of a study: when it names the command that opens test."""

from __future__ import annotations

import io

import pytest

from mmsr.console import Console
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.opening import open_study_of
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.results.finalized import FinalRecord, FinalResult, finals_name
from mmsr.study.results.held_out import Opening
from mmsr.study.storage import database
from mmsr.study.storage.budget import BUDGET, SPENT
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows
from mmsr.study.views.ending import show_end
from mmsr.study.workers.messages import Report

OPENING = Opening(at="2026-01-01T00:00:00+00:00", trials=(0,))
RESULT = FinalResult(
    study="shop", dataset="shop", dataset_hash="0" * 64, protocol="ratio", seeds=(1,), configs=()
)


@pytest.fixture
def ended(small_study, study_home):
    """Runs trials of a study of two and returns it, and what is shown at its end."""
    plan = make_plan(small_study, Options(trials=2))
    plan.folder.path.mkdir(parents=True)
    study = open_study_of(plan, database.open_storage(plan.storage))
    ledger = Ledger(study, plan.rules(), plan.folder.ray)

    def run(trials=0):
        for _ in range(trials):
            ledger.ask("a")
            metrics = {plan.objective: 0.2, "train/loss": 1.0}
            ledger.report(
                "a",
                Report(
                    epoch=3,
                    metrics=metrics,
                    best_epoch=2,
                    best_metrics=metrics,
                    finished=True,
                    seconds=1.0,
                ),
            )
        console = Console(width=200, file=io.StringIO())
        show_end(plan, rows(study), console)
        return look_up(plan.name), console.file.getvalue()

    return run


def test_test_is_named_once_all_trials_are_done(ended):
    _, shown = ended(1)
    assert "mmsr best-config export shop" in shown
    assert "finalize" not in shown, "interrupted"
    assert "test, once   mmsr study finalize shop --seeds 3" in ended(1)[1]


def test_a_study_that_its_budget_ended_does_not_name_test(ended):
    known, _ = ended(1)
    known.study.set_user_attr(BUDGET, {"hours": 1.0})
    known.study.set_user_attr(SPENT, {"hours": 1.0})
    assert "finalize" not in ended()[1]


def test_test_that_is_open_is_not_named_again(ended):
    known, _ = ended(2)
    record = FinalRecord(opened=(OPENING,))
    known.folder.write("finalized.json", record.model_dump_json())
    assert "finalize" not in ended()[1]
    record = FinalRecord(opened=(OPENING,), result=RESULT)
    known.folder.write("finalized.json", record.model_dump_json())
    assert "test figures mmsr study finalize shop\n" in ended()[1]
    known.folder.write("finalized.json", "damaged")
    assert "finalize" not in ended()[1]


def test_test_that_another_machine_opened_is_not_named(ended):
    known, _ = ended(2)
    finals = database.open_study(
        database.open_storage(known.storage),
        finals_name(known),
        known.definition,
        known=(),
        trials=1,
        sampler=None,
        pruner=None,
    )
    finals.set_user_attr("test_opened", [OPENING.model_dump(mode="json")])
    assert "finalize" not in ended()[1]

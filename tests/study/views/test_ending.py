"""The screen at the end of a study: the reference lines, and when it names what opens test."""

from __future__ import annotations

import io
import re

import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.console import Console
from mmsr.evaluation import reference
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
from mmsr.tracking.energy import UNMEASURED, Energy

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

    def run(trials=0, energy=UNMEASURED):
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
                    energy=energy,
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
    assert "recommend    mmsr recommend shop --history ITEM,ITEM\n" in shown
    assert "test, once   mmsr study finalize shop --seeds 3" in ended(1)[1]


def test_energy_is_summed_over_the_trials_where_it_is_known(ended):
    assert "energy" not in ended(0)[1]
    assert "energy of 1 trial: 0.5 kWh (an estimate)\n" in ended(1, Energy(0.5))[1]
    _, shown = ended(1, Energy(lacking="no counter"))
    assert "energy of 1 trial: 0.5 kWh" in shown
    assert "energy of 1 trial was not measured: no counter\n" in shown


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
    shown = ended()[1]
    assert "test figures mmsr study finalize shop\n" in shown
    assert "mmsr recommend shop --trial 0 --history" in shown, "it has no refit to recommend with"
    known.folder.write("finalized.json", "damaged")
    assert "finalize" not in ended()[1]


@pytest.mark.parametrize("table", ["", "-table2"])
def test_test_that_another_machine_or_a_table_opened_is_not_named(ended, table):
    known, _ = ended(2)
    finals = database.open_study(
        database.open_storage(known.storage),
        finals_name(known) + table,
        known.definition,
        known=(),
        trials=1,
        sampler=None,
        pruner=None,
    )
    finals.set_user_attr("test_opened", [OPENING.model_dump(mode="json")])
    assert "finalize" not in ended()[1]


def reference_rows(shown):
    """The cells of the reference lines in a leaderboard, by label."""
    rows = re.findall(r"│ +│ +(popularity|item-kNN|EASE) +│([^\n]*)│ +│ +│", shown)
    return {label: [float(cell) for cell in cells.split("│")] for label, cells in rows}


def test_reference_lines_stand_below_the_leaderboard_once_trials_are_done(ended):
    known, shown = ended(1)
    assert reference_rows(shown) == {}, "an interrupted study is not delayed"
    _, shown = ended(1)
    found = reference_rows(shown)
    shop = known.open_dataset()
    assert list(found) == ["popularity", "item-kNN", "EASE"]
    for label, cells in found.items():
        metrics = reference.measure(label, shop.train(), shop.valid(), shop.n_items, seen="kept")
        names = ("mrr@20", "hr@20", "mrr@5", "hr@5")
        assert cells == pytest.approx([100 * metrics[name] for name in names], abs=0.005)
    assert shown.rindex("2 of 3") < shown.rindex("popularity") < shown.index("best settings")
    assert "measuring popularity, item-kNN, EASE on shop, once …" in shown
    assert "measuring" not in ended()[1]
    assert "not measured" not in shown


def test_slow_lines_are_left_to_the_command(ended, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    ended(2)
    known, _ = ended()
    for file in (known.folder.path.parents[1] / "cache" / "references").iterdir():
        file.unlink()
    monkeypatch.setattr(
        reference, "estimated_seconds", lambda label, *_: 20.0 if label == "EASE" else 0.1
    )
    _, shown = ended()
    assert list(reference_rows(shown)) == ["popularity", "item-kNN"]
    told = "not measured: EASE (it takes about 20 s: mmsr study leaderboard shop does it, once)"
    assert told in shown
    run = CliRunner().invoke(app, ["study", "leaderboard", "shop", "--top", "1"])
    assert run.exit_code == 0
    assert list(reference_rows(run.stdout)) == ["popularity", "item-kNN", "EASE"]
    assert run.stderr == "measuring EASE on shop, once …\n"
    assert list(reference_rows(ended()[1])) == ["popularity", "item-kNN", "EASE"]


def test_nothing_is_measured_beside_a_running_study(ended, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    known, _ = ended(1)
    with known.folder.locked():
        run = CliRunner().invoke(app, ["study", "leaderboard", "shop"])
    assert run.exit_code == 0
    assert run.stderr == ""
    assert reference_rows(run.stdout) == {}

"""The screen of `--dry-run`, and what is shown of a study that was interrupted."""

from __future__ import annotations

import dataclasses
import sqlite3
from types import SimpleNamespace

import pytest

from mmsr import paths
from mmsr.errors import StorageLost, UserError
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.opening import open_study_of
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.sizing.probe import Measured
from mmsr.study.storage.database import open_storage
from mmsr.study.storage.trials import rows
from mmsr.study.views import dry_run
from mmsr.study.views.tables import summary
from mmsr.study.workers.messages import Failure, Report


@pytest.mark.parametrize(
    ("epoch_seconds", "time"), [(4, "36 s"), (100, "15 min 00 s"), (600, "1 h 30 min")]
)
def test_the_expected_time_has_natural_units(monkeypatch, epoch_seconds, time):
    monkeypatch.setattr(dry_run, "_at_once", lambda plan: 2)
    training = SimpleNamespace(epochs=3)
    plan = SimpleNamespace(trials=5, base=SimpleNamespace(training=training), known=())
    measured = Measured(train_seconds=epoch_seconds - 1, evaluate_seconds=1, share=1, memory=1)
    expected = f"about {time}, for 5 trials of 3 epochs at this speed; trials that run side"
    assert dry_run._hours(plan, 5, measured).startswith(expected), "three rounds of two at once"
    left = dry_run._hours(plan, 1, measured)
    assert "for the 1 trial of 3 epochs that is left at this speed" in left


@pytest.fixture
def planned(small_study, study_home, monkeypatch):
    """A plan of the small study, of which nothing is timed."""
    monkeypatch.setattr(dry_run, "expect", lambda plan, console, left: {"left": f"{left} left"})
    plan = make_plan(small_study, Options())
    plan.folder.path.mkdir(parents=True)
    return plan


def test_a_dry_run_of_a_new_study_makes_no_database(planned, study_home, capsys):
    dry_run.show_plan(planned)
    assert "exists" not in capsys.readouterr().out
    assert not (study_home / "optuna.db").exists()


def test_a_dry_run_says_that_a_study_would_be_resumed(planned, capsys):
    study = open_study_of(planned, open_storage(planned.storage))
    ledger = Ledger(study, planned.rules(), planned.folder.ray)
    for _ in range(2):
        ledger.ask("a")
        ledger.fail("a", Failure(error="no luck", traceback=""))
    dry_run.show_plan(planned)
    out = capsys.readouterr().out
    assert "shop: 4 trials of at most 3 epochs, 2 of them done, maximising" in out
    assert "2 left" in out
    assert "study shop exists: resuming, 2 of 4 trials done" in out


def test_a_dry_run_of_a_complete_study_measures_and_expects_nothing(planned, capsys, monkeypatch):
    monkeypatch.setattr(dry_run, "expect", lambda *_: pytest.fail("nothing is left to measure"))
    study = open_study_of(planned, open_storage(planned.storage))
    ledger = Ledger(study, planned.rules(), planned.folder.ray)
    for reason in ("no luck", "no rain", "no sun", "no snow"):
        ledger.ask("a")
        ledger.fail("a", Failure(error=reason, traceback=""))
    dry_run.show_plan(planned)
    assert "study shop: 4 of 4 trials done, nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(("energy", "told"), [("", "measured"), ("DEU", "measured, CO2 of DEU")])
def test_a_dry_run_says_that_energy_is_measured(planned, capsys, energy, told):
    dry_run.show_plan(dataclasses.replace(planned, energy=energy))
    (line,) = (one for one in capsys.readouterr().out.splitlines() if one.startswith("energy"))
    assert line.split(maxsplit=1)[1].strip() == told


def test_a_dry_run_refuses_what_a_run_would(planned, small_study):
    open_study_of(planned, open_storage(planned.storage))
    other = make_plan(dataclasses.replace(small_study, epochs=7), Options())
    with pytest.raises(UserError, match=r"training\.epochs"):
        dry_run.show_plan(other)


def test_a_dry_run_of_an_empty_database_leaves_it_empty(planned, study_home):
    (study_home / "optuna.db").touch()
    dry_run.show_plan(planned)
    assert (study_home / "optuna.db").read_bytes() == b""


def test_a_dry_run_refuses_to_resume_what_is_not_there_or_was_lost(planned, small_study):
    with pytest.raises(UserError, match="to resume"):
        dry_run.show_plan(make_plan(small_study, Options(resume=True)))
    open_study_of(planned, open_storage(planned.storage))
    (paths.home() / "optuna.db").unlink()
    with pytest.raises(UserError, match="has lost study"):
        dry_run.show_plan(planned)


def test_a_dry_run_of_a_damaged_database_is_an_error_in_one_line(planned):
    open_storage(planned.storage).remove_session()
    with sqlite3.connect(paths.home() / "optuna.db") as broken:
        broken.execute("ALTER TABLE studies RENAME COLUMN study_name TO nm")
    with pytest.raises(StorageLost, match="no such column"):
        dry_run.show_plan(planned)


def test_an_interrupted_study_shows_what_its_trials_have_behind_them(planned):
    study = open_study_of(planned, open_storage(planned.storage))
    ledger = Ledger(study, planned.rules(), planned.folder.ray)
    ledger.ask("a")
    metrics = {planned.objective: 0.25}
    for epoch in (1, 2):
        ledger.report(
            "a",
            Report(
                epoch=epoch, metrics=metrics, best_epoch=1, best_metrics=metrics, finished=False
            ),
        )
    assert summary(rows(study)) == "1 running"
    assert summary(rows(study), running=False) == "1 interrupted"
    ledger.release()
    (row,) = rows(study)
    assert (row.state, row.epochs, row.value) == ("waiting", 2, 0.25)

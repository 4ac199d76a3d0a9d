"""The error of a trial is shown as it is, wherever trials are shown."""

from __future__ import annotations

import io

import pytest

from mmsr.cli.app import main
from mmsr.config import Config
from mmsr.console import Console
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.opening import open_study_of
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage import database
from mmsr.study.storage.trials import rows
from mmsr.study.views.ending import show_failures
from mmsr.study.views.live_table import Display
from mmsr.study.workers.messages import Ending, Failure, Proposal
from mmsr.tracking import RunState

ERROR = "RuntimeError: [/dev/shm/x] [enforce fail at alloc_cpu.cpp:118] :x: [red]not enough[/red]"


@pytest.fixture
def failed(small_study, study_home):
    """A study with a trial that has failed."""
    plan = make_plan(small_study, Options(trials=2))
    plan.folder.path.mkdir(parents=True)
    study = open_study_of(plan, database.open_storage(plan.storage))
    ledger = Ledger(study, plan.rules(), plan.folder.ray)
    ledger.ask("a")
    ledger.fail("a", Failure(error=ERROR, traceback=""))
    return plan, study


def test_at_the_end_of_a_study(failed):
    plan, study = failed
    told = io.StringIO()
    show_failures(plan, rows(study), Console(file=told, width=300))
    assert ERROR in told.getvalue()


def test_in_a_live_table():
    told = io.StringIO()
    console = Console(file=told, width=300)
    display = Display(console, "valid/mrr@20", total=2, done=0, best=None)
    config = Config(dataset="shop")
    one = Proposal(number=0, key="a", config=config, settings={}, origin="proposed")
    display.started(one, "a")
    display.ended(one, Ending(RunState.FAILED, report=None, seconds=1.0, error=f"{ERROR}\x1b[2J"))
    assert f"{ERROR}\\x1b[2J" in told.getvalue()


def test_by_the_command_that_shows_all_trials(failed, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("sys.argv", ["mmsr", "study", "status", failed[0].name])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    assert ERROR in capsys.readouterr().out

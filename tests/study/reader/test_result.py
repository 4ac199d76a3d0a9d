"""What a run from Python returns, however it ends; and what the command line does as before."""

from __future__ import annotations

import logging
import os
import sys
from types import SimpleNamespace

import pytest

from mmsr import provenance
from mmsr.errors import UserError
from mmsr.study import Study
from mmsr.study.driver import opening
from mmsr.study.driver.ledger import Ledger
from mmsr.study.planning.declaration import Options
from mmsr.study.results.outcome import Ended
from mmsr.study.storage.folder import StudyRecord
from mmsr.study.workers.addresses import is_connected
from mmsr.study.workers.cluster import ray_cluster


def test_a_result_has_rows_the_best_config_paths_and_failures(small, finished):
    assert small.ended is Ended.FINISHED
    assert small.error is None
    assert small.rows["state"].tolist() == ["finished", "finished", "failed", "finished"]
    assert small.best_config.model.width == 40
    assert small.best_score == pytest.approx(0.035)
    assert small.folder == finished.home / "studies" / "small"
    assert small.storage == f"sqlite:///{finished.home}/optuna.db"
    assert small.tracking == f"sqlite:///{finished.home}/mlflow.db"
    (failure,) = small.failures
    assert (failure.numbers, failure.error) == ((2,), "ValueError: bad luck")
    assert small.study.leaderboard()["trial"].dropna().tolist() == [3, 1, 0]


def test_a_result_is_readable(small):
    first, *lines = repr(small).splitlines()
    assert first == "study small: finished"
    assert "  trials: 3 finished, 1 failed" in lines
    assert "  best: valid/mrr@20 0.0350 (trial 3, epoch 3)" in lines
    assert "  failures: raised, trial 2: ValueError: bad luck" in lines
    page = small._repr_html_()
    assert "<strong>study small: finished</strong>" in page
    assert "raised, trial 2: ValueError: bad luck" in page


def test_what_trials_say_stays_text_in_a_page(runs):
    def tune(plan, ledger: Ledger, *_: object) -> None:
        from mmsr.study.workers.messages import Failure

        ledger.ask("0")
        ledger.fail("0", Failure(error="ValueError: <script>alert(1)</script>", traceback=""))

    result = runs("evil", tune, trials=1)
    assert result.ended is Ended.FAILED
    assert result.error == "no trial has finished"
    again = runs("evil", lambda *_: pytest.fail("nothing is left to run"), trials=1)
    assert (again.ended, again.error) == (result.ended, result.error)
    assert (result.best, result.best_config, result.best_score) == (None, None, None)
    page = result._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_stop_gives_a_result_and_the_same_run_resumes(runs):
    def interrupted(plan, ledger: Ledger, *_: object) -> None:
        ledger.ask("0")
        ledger.stop("interrupted")

    first = runs("stopped", interrupted)
    assert first.ended is Ended.INTERRUPTED
    assert first.rows["state"].tolist()[0] in ("waiting", "interrupted")
    assert repr(first).startswith("study stopped: interrupted\n")
    assert runs("stopped").ended is Ended.FINISHED
    again = runs("stopped", lambda *_: pytest.fail("nothing is left to run"))
    assert again.ended is Ended.FINISHED
    assert len(again.rows) == 4


def test_a_machine_at_fault_is_told(runs):
    def broken(plan, ledger: Ledger, *_: object) -> None:
        ledger.halt("no trial can continue", "Ray's head has died")

    result = runs("halted", broken)
    assert (result.ended, result.error) == (Ended.FAILED, "Ray's head has died")
    assert "  stopped by: Ray's head has died" in repr(result)


def test_an_error_with_the_last_trial_is_told(runs, pretend):
    def broken(plan, ledger: Ledger, *given: object) -> None:
        pretend(plan, ledger, *given)
        ledger.halt("no trial can continue", "the disk is full")

    result = runs("late", broken)
    assert (result.ended, result.error) == (Ended.FAILED, "the disk is full")


def test_a_storage_that_is_away_is_a_user_error(runs, small, monkeypatch):
    from optuna.exceptions import StorageInternalError

    def away(*_: object) -> None:
        raise StorageInternalError("it is away")

    with monkeypatch.context() as patch:
        patch.setattr("mmsr.study.reader.result.rows", away)
        with pytest.raises(UserError, match="it is away; once it is back, the same call resumes"):
            runs("away")
    monkeypatch.setattr("mmsr.study.reader.opened.rows", away)
    with pytest.raises(UserError, match=r"^storage .* failed: it is away$"):
        small.study.trials()


def test_a_result_can_be_a_key(small):
    assert {small: 1}[small] == 1


def test_what_stops_a_study_is_a_user_error(runs):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "journal")

    with pytest.raises(UserError, match="once that is fixed, the same call resumes") as caught:
        runs("full", full)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(UserError, match="unknown data set"):
        Study(dataset="no-such").run()


def test_a_notebook_shows_an_error_in_one_line():
    assert UserError("give a name")._render_traceback_() == ["UserError: give a name"]


def test_a_dry_run_has_a_method_of_its_own(declare, study_home, monkeypatch):
    with pytest.raises(UserError, match=r"call the study's dry_run\(\)"):
        declare("dry").run(Options(dry_run=True))
    shown = []
    monkeypatch.setattr("mmsr.study.views.dry_run.show_plan", shown.append)
    assert declare("dry").dry_run() is None
    assert [plan.name for plan in shown] == ["dry"]
    with pytest.raises(SystemExit) as stop:
        declare("dry").main(["--dry-run"])
    assert (stop.value.code, len(shown)) == (0, 2)


def test_the_command_still_exits_with_a_code(runs, declare, capsys):
    runs("coded")
    for changes, code in (({}, 0), ({"trials": 0}, 2)):
        with pytest.raises(SystemExit) as stop:
            declare("coded", **changes).main([])
        assert stop.value.code == code
    assert capsys.readouterr().err.startswith("error: trials=0: give")


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is connected to Ray at 127.0.0.1:6379, by its user."""
    there = SimpleNamespace(gcs_address="127.0.0.1:6379")
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.get_runtime_context", lambda: there)
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "10.0.0.1")
    for name in ("init", "shutdown"):
        monkeypatch.setattr(f"ray.{name}", lambda **_: pytest.fail("touched"))


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize(
    "address", [None, "auto", "127.0.0.1:6379", "localhost:6379", "10.0.0.1:6379"]
)
def test_the_ray_of_before_is_used_and_left_as_it_is(address):
    before, environment = logging.getLogger("ray.tune").level, dict(os.environ)
    with ray_cluster(address) as borrowed:
        assert borrowed
        assert os.environ["TUNE_DISABLE_SIGINT_HANDLER"] == "1"
        assert logging.getLogger("ray.tune").level == logging.CRITICAL
    assert logging.getLogger("ray.tune").level == before
    assert dict(os.environ) == environment
    assert is_connected()


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("address", ["10.0.0.7:6379", "10.0.0.1:6380", "ray://10.0.0.1:6379"])
def test_another_cluster_than_that_of_before_is_refused(address):
    with (
        pytest.raises(UserError, match=rf"connected to Ray at 127.0.0.1:6379, not at {address}"),
        ray_cluster(address),
    ):
        pytest.fail("joined")


@pytest.mark.usefixtures("connected")
def test_more_cpus_than_this_machine_has_are_for_the_connected_ray_to_refuse(declare, study_home):
    from mmsr.study.planning.make_plan import make_plan

    wide = declare("wide", resources={"cpu": 1000})
    assert make_plan(wide, Options()).address is None


def test_ray_is_not_imported_to_ask_for_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    assert not is_connected()
    assert "ray" not in sys.modules


def test_a_notebook_is_resumed_by_the_same_call(monkeypatch):
    plan, main = SimpleNamespace(name="orders"), sys.modules["__main__"]
    monkeypatch.setattr(sys, "argv", ["/x/orders.py"])
    monkeypatch.setattr(main, "__file__", "/x/orders.py", raising=False)
    assert opening._command(plan).endswith(" /x/orders.py")
    monkeypatch.delattr(main, "__file__")
    assert opening._command(plan) == "Study(…, name='orders').run()"
    record = StudyRecord(
        name="orders",
        uid="0",
        dataset="shop",
        objective="valid/mrr@20",
        storage="",
        tracking="",
        command=opening._command(plan),
    )
    assert record.resumption.startswith("resume by running the notebook of Study(…, name='orders')")
    assert provenance.the_same() == "the same call"
    assert provenance.command_line() == "in a notebook or an interactive session"

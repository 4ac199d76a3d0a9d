"""Running a plan: Ray runs the trials, Optuna's storage holds their state, MLflow records them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mmsr.console import Console
from mmsr.format import plural
from mmsr.provenance import code_version, the_same
from mmsr.study.driver.exit_codes import FAILED, code_of
from mmsr.study.driver.interrupt import StopRequest, stop_requests
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.meter import Meter
from mmsr.study.driver.opening import open_study_of
from mmsr.study.driver.reporting import Reporting, TrackingReporter
from mmsr.study.planning.existing import find_existing
from mmsr.study.planning.plan import Plan
from mmsr.study.planning.warm_start import import_trials
from mmsr.study.results.outcome import Ended, Outcome
from mmsr.study.sizing.packing import settle
from mmsr.study.storage import database
from mmsr.study.storage.driver_lock import claimed
from mmsr.study.storage.known_study import SHIP_SECONDS, open_journal, ship
from mmsr.study.storage.outside import screened
from mmsr.study.storage.progress import (
    Progress,
    add_exhausted,
    add_missing,
    n_over,
    set_ending,
    set_exhausted,
    set_target,
    take_back,
)
from mmsr.study.storage.single_writer import SingleWriterStorage
from mmsr.study.views.live_table import Display, with_model
from mmsr.study.views.unshipped import show_unshipped
from mmsr.study.workers.board import shown_board
from mmsr.study.workers.cluster import Capacity, ray_cluster
from mmsr.study.workers.head import watched_head
from mmsr.tracking import RunState
from mmsr.tracking.journal.shipper import JournalTracker

if TYPE_CHECKING:
    import optuna

Retried = Sequence[Mapping[str, Any]] | None
"""Settings whose failed trials are retried, as Optuna stores them; None if none ever are."""


def run_plan(plan: Plan, reporting: Reporting | None = None, *, retried: Retried = None) -> int:
    """Run a study as `run_study` does, with the same arguments; returns the exit code."""
    return code_of(run_study(plan, reporting, retried=retried))


def run_study(
    plan: Plan, reporting: Reporting | None = None, *, retried: Retried = None
) -> Outcome:
    """Run a study until all its trials are done; returns how that ended.

    Parameters
    ----------
    plan : the study.
    reporting : how to present the trials; None presents them as any study does.
    retried : those settings of `plan.only` whose trials are retried if they failed before.

    Raises
    ------
    UserError : the name belongs to another study, the study is already being run, or a trial needs
        resources that the cluster lacks.
    """
    console = Console()
    reporting = reporting or Reporting()
    with (
        plan.folder.locked(),
        database.watching(plan.storage),
        claimed(plan.storage, plan.name),
        stop_requests(console.print) as stop,
    ):
        storage = SingleWriterStorage(database.open_storage(plan.storage), screened)
        found = find_existing(plan, storage, retried or ())
        console.print(found.greeting(plan), soft_wrap=True)
        if found.nothing_to_do is not None:
            study = open_study_of(plan, storage)
            return _finish_again(plan, study, reporting, console)
        stop.check()
        with ray_cluster(plan.address) as borrowed:
            stop.install()  # Ray has taken SIGTERM
            stop.check()
            plan = settle(plan, console.print)
            stop.check()
            study = open_study_of(plan, storage)
            take_back(study, found.again)
            retries = retried is not None
            return Driver(plan, study, console, stop, reporting, retries, bool(borrowed)).run()


def _finish_again(
    plan: Plan, study: optuna.Study, reporting: Reporting, console: Console
) -> Outcome:
    """Show the end of a study with nothing left to run; ship events that an earlier driver kept."""
    Meter(study, plan.budget, plan.resources)  # records the budget that was given now
    progress = plan.progress(study)
    if progress.exhausted:
        set_target(study, n_over(study, None) if plan.models else progress.over)
    journal_of = plan.recorded_in(study)
    left = ship(journal_of, partial(console.print, soft_wrap=True))
    reporting.show_end(plan, progress.rows, console)
    show_unshipped(left, journal_of.name, console)
    return Outcome.without_error(progress)


class Driver:
    """Runs the trials of an open study on a running Ray.

    Parameters
    ----------
    plan : the study, with known resources.
    study : the Optuna study.
    console : where to show trials.
    stop : whether the user has asked to stop.
    reporting : how to present the trials.
    retries : whether a later driver may retry failed trials.
    borrowed : whether Ray was there before this driver, and stays when it has ended.
    """

    def __init__(
        self,
        plan: Plan,
        study: optuna.Study,
        console: Console,
        stop: StopRequest,
        reporting: Reporting,
        retries: bool,
        borrowed: bool = False,
    ) -> None:
        self._plan, self._study, self._console = plan, study, console
        self._stop, self._reporting, self._retries = stop, reporting, retries
        self._borrowed = borrowed
        before = self._progress()
        self._already = before.over
        self._display = Display(
            console,
            reporting.metric or plan.objective,
            total=plan.trials,
            done=before.over,
            best=before.best,
            name_of=with_model(reporting.name_of) if plan.models else reporting.name_of,
            contest=reporting.metric is None,
        )

    def run(self) -> Outcome:
        """Run trials until all are done or the study is stopped; returns how that ended."""
        plan, console = self._plan, self._console
        set_ending(self._study, RunState.INTERRUPTED, None)  # holds if this process is killed
        if plan.warm is not None and import_trials(self._study, plan.warm, plan.space, plan.base):
            self._display.note(f"warm start from {plan.warm}")
        meter = Meter(self._study, plan.budget, plan.resources)
        journal_of = plan.recorded_in(self._study)
        tracker = open_journal(journal_of, self._display.note)
        try:
            ledger = self._run_trials(tracker, meter)
        finally:
            left = tracker.close(1.0 if self._stop.urgent else SHIP_SECONDS)
            show_unshipped(left, journal_of.name, console)
        after = self._progress()
        self._reporting.show_end(plan, after.rows, console)
        if plan.budget.limits:
            console.print(plan.budget.told(meter.spent), soft_wrap=True)
        return self._outcome(ledger, after)

    def _run_trials(self, tracker: JournalTracker, meter: Meter) -> Ledger:
        reporter = self._reporting.reporter(self._plan, self._study, tracker)
        ledger = self._open_ledger(reporter, meter)
        try:
            self._stop.listen(lambda: ledger.stop("interrupted"))
            lost = partial(ledger.halt, "no trial can continue")
            show = self._display.progressed
            with (
                watched_head(lost, FAILED, self._borrowed),
                self._display,
                shown_board(show) as board,
            ):
                n_trials = self._plan.trials - self._already
                ended = partial(self._reporting.ended, self._study)
                turn = self._every_turn(meter)
                _tune(self._plan, ledger, n_trials, turn, ended, board, self._borrowed)
            if ledger.broken is not None:
                raise ledger.broken
            if ledger.exhausted and ledger.stop_reason is None:
                over = self._progress().over
                if self._plan.models:
                    # Without quotas, the study ends only when no model gets another trial.
                    whole = self._plan.quota is None
                    names = self._plan.names if whole else ledger.exhausted_models
                    add_exhausted(self._study, names or ())
                else:
                    set_exhausted(self._study, over)
                self._display.note(
                    f"every setting of the space has been run: {plural(over, 'trial')}"
                )
        finally:
            ledger.release()
            meter.close()
            after = self._progress()
            state, error = _state(ledger, after), ledger.fatal_error
            set_ending(self._study, state, error)
            reporter.close(state, error, after)
        return ledger

    def _every_turn(self, meter: Meter) -> Callable[[], str | None]:
        """What Tune's loop calls at every turn: it refreshes the table, and asks for the budget."""

        def turn() -> str | None:
            self._display.refresh()
            return meter.used_up()

        return turn

    def _open_ledger(self, reporter: TrackingReporter, meter: Meter) -> Ledger:
        """The ledger, with the trials queued again that earlier drivers left unfinished."""
        plan, study = self._plan, self._study
        ledger = Ledger(
            study,
            plan.rules(retries=self._retries),
            plan.folder.ray,
            code=code_version(),
            driver=f"{socket.gethostname()}:{os.getpid()}",
            observers=(reporter, self._display, meter),
            run_id=reporter.run_id,
        )
        if (reclaimed := ledger.reclaim()) > 0:
            trials = "trial resumes from its" if reclaimed == 1 else "trials resume from their"
            self._display.note(f"{reclaimed} interrupted {trials} last checkpoint")
        if plan.only is not None:
            set_target(study, add_missing(study, plan.only))
        return ledger

    def _progress(self) -> Progress:
        return self._plan.progress(self._study)

    def _outcome(self, ledger: Ledger, after: Progress) -> Outcome:
        console = self._console
        if ledger.fatal_error is not None:
            error = f"stopped: {ledger.stop_reason}: {ledger.fatal_error}"
            hint = f"; once that is fixed, {the_same()} resumes the study"
            console.print(error + hint, style="red", soft_wrap=True)
            return Outcome(Ended.FAILED, ledger.fatal_error)
        if after.used_up is not None and ledger.stop_reason == after.used_up:
            more = f"{after.used_up}; {the_same()} with a higher budget resumes the study"
            console.print(more, soft_wrap=True)
        elif ledger.stop_reason is not None and after.over < after.wanted:
            console.print(f"interrupted; {the_same()} resumes the study", soft_wrap=True)
            return Outcome(Ended.INTERRUPTED)
        return Outcome.without_error(after)


def _state(ledger: Ledger, after: Progress) -> RunState:
    if ledger.fatal_error is not None:
        return RunState.FAILED
    return RunState.FINISHED if after.is_over else RunState.INTERRUPTED


def _tune(
    plan: Plan,
    ledger: Ledger,
    n_trials: int,
    used_up: Callable[[], str | None],
    ended: Callable[[], None],
    board: str | None,
    borrowed: bool,
) -> None:
    """Let Ray Tune run trials until the ledger requests no more."""
    from mmsr.study.driver.tune import tune_trials

    capacity = Capacity(plan.resources)
    # A cluster may get new nodes; the one node on this machine does not come back.
    lost: Callable[[], bool] = capacity.lost if plan.address is None else lambda: False
    tune_trials(plan, ledger, n_trials, capacity, used_up, lost, ended, board, borrowed=borrowed)

"""Running a plan: Ray executes, Optuna's storage remembers, the tracker takes notes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mmsr.provenance import code_version
from mmsr.study.driver.exit_codes import FAILED, INTERRUPTED, OK
from mmsr.study.driver.interrupt import StopRequest, stop_requests
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.meter import Meter
from mmsr.study.driver.opening import check_existing, open_study_of
from mmsr.study.driver.reporting import Telling, journal_of
from mmsr.study.planning.plan import Plan
from mmsr.study.planning.warm_start import tell
from mmsr.study.results.pareto import front_tags
from mmsr.study.sizing.packing import settle
from mmsr.study.storage import database
from mmsr.study.storage.budget import budget_used_up, spent_hours
from mmsr.study.storage.driver_lock import claimed
from mmsr.study.storage.known_study import SHIP_SECONDS
from mmsr.study.storage.progress import (
    add_missing,
    counted,
    failed,
    is_exhausted,
    n_over,
    set_exhausted,
    set_target,
    take_back,
)
from mmsr.study.storage.single_writer import OwnedStorage
from mmsr.study.storage.trials import best_value, rows
from mmsr.study.views.live_table import Display
from mmsr.study.workers.cluster import Capacity, prepare_environment, ray_cluster
from mmsr.study.workers.head import watched_head
from mmsr.tracking import RunState
from mmsr.tracking.databases import without_password

if TYPE_CHECKING:
    import optuna


def run_plan(
    plan: Plan,
    telling: Telling | None = None,
    *,
    retried: Sequence[Mapping[str, Any]] | None = None,
) -> int:
    """Run a study until all its trials are over; returns the exit code.

    Parameters
    ----------
    plan : the study.
    telling : how to speak of the trials; None leaves it as for any study.
    retried : of `plan.only`, the settings whose trials are tried again if they failed before.

    Raises
    ------
    UserError : the study exists and is another one, is being run, or wants what the cluster lacks.
    """
    console = Console(highlight=False)
    telling = telling or Telling()
    with (
        plan.folder.locked(),
        database.watching(plan.storage),
        claimed(plan.storage, plan.name),
        stop_requests(console.print) as stop,
    ):
        storage = OwnedStorage(database.open_storage(plan.storage))
        there = check_existing(plan, storage)
        again = failed(there, retried) if there and retried else []
        already = n_over(there, plan.only) - len(again) if there else 0
        used_up = plan.budget.used_up(spent_hours(there)) if there else None
        complete = there is not None and (already >= plan.trials or is_exhausted(there))
        if there is not None and (complete or used_up is not None):
            study = open_study_of(plan, storage)
            Meter(study, plan.budget, plan.resources)
            if is_exhausted(study):
                set_target(study, n_over(study, plan.only))
            why = "nothing to do" if complete else f"{used_up}, more of it goes on"
            console.print(f"study {plan.name}: {already} trials are over, {why}", soft_wrap=True)
            _ship_rest(plan, study, console)
            telling.end(plan, rows(study), console)
            return OK
        if there is None:
            console.print(
                f"study {plan.name}: {plan.trials} trials on {plan.dataset.name}, "
                f"{plan.resources} each; starting Ray",
                soft_wrap=True,
            )
        else:
            console.print(
                f"study {plan.name} exists: going on after {already} of {plan.trials} trials",
                soft_wrap=True,
            )
        stop.check()
        prepare_environment()
        with ray_cluster(plan.address):
            stop.install()  # Ray has taken SIGTERM
            stop.check()
            plan = settle(plan, console.print)
            stop.check()
            study = open_study_of(plan, storage)
            take_back(study, again)
            return _run(plan, study, console, stop, telling, retries=retried is not None)


def _run(
    plan: Plan,
    study: optuna.Study,
    console: Console,
    stop: StopRequest,
    telling: Telling,
    *,
    retries: bool,
) -> int:
    already = n_over(study, plan.only)
    value = best_value(rows(study))
    display = Display(
        console,
        telling.shown or plan.objective,
        total=plan.trials,
        done=already,
        best=value,
        name_of=telling.name_of,
        contest=telling.shown is None,
    )
    if plan.warm is not None and tell(study, plan.warm, plan.space, plan.base):
        display.note(f"warm start from {plan.warm}")
    meter = Meter(study, plan.budget, plan.resources)
    tracker = telling.journal(plan, study, display.note)
    try:
        done = len(counted(study))
        tracked = telling.track(plan, database.study_uid(study), tracker, best=value, done=done)
        ledger = Ledger(
            study,
            plan.space,
            plan.base,
            plan.objective,
            plan.folder.ray,
            against=plan.against,
            time_limit=plan.time_limit,
            startup_trials=plan.pruner.startup_trials if plan.pruner else 0,
            only=plan.only,
            retries=retries,
            systematic=plan.sampler.systematic,
            config_of=plan.config_of,
            code=code_version(),
            driver=f"{socket.gethostname()}:{os.getpid()}",
            observers=(tracked, display, meter),
            run_id=tracked.run_id,
        )
        if (reclaimed := ledger.reclaim()) > 0:
            trials = "trial that was" if reclaimed == 1 else "trials that were"
            display.note(f"{reclaimed} {trials} not finished go on from the last checkpoint")
        if plan.only is not None:
            set_target(study, add_missing(study, plan.only))
        try:
            stop.listen(lambda: ledger.stop("interrupted"))
            lost = partial(ledger.halt, "no trial can go on")
            with watched_head(lost, FAILED), display:
                _tune(plan, ledger, plan.trials - already, meter.used_up)
            if ledger.broken is not None:
                raise ledger.broken
            if ledger.exhausted and ledger.stop_reason is None:
                set_exhausted(study, over := n_over(study, plan.only))
                display.note(f"every setting of the space has been run, after {over} trials")
        finally:
            ledger.release()
            meter.close()
            tags = front_tags(rows(study), plan.definition.objectives)
            tracked.close(_state(plan, ledger), ledger.fatal_error, tags)
    finally:
        waiting = tracker.close(1.0 if stop.urgent else SHIP_SECONDS)
    if waiting:
        console.print(
            f"{waiting} tracking events wait in {plan.folder.path}: the same command ships them",
            soft_wrap=True,
        )
    telling.end(plan, rows(study), console)
    if plan.budget.limits:
        console.print(plan.budget.told(meter.spent), soft_wrap=True)
    return _exit_code(plan, study, ledger, console)


def _tune(plan: Plan, ledger: Ledger, n_trials: int, used_up: Callable[[], str | None]) -> None:
    """Let Ray Tune run trials until the ledger wants no more."""
    from ray import tune

    from mmsr.study.driver.tune import (
        WORKER_DEATHS,
        StopWhenAsked,
        StudyCallback,
        StudyScheduler,
        StudySearch,
    )
    from mmsr.study.workers.trial import run_trial

    capacity = Capacity(plan.resources)
    # A cluster may get new nodes; the one node on this machine does not come back.
    lost = capacity.lost if plan.address is None else lambda: False
    tuner = tune.Tuner(
        tune.with_resources(run_trial, plan.resources.for_ray()),
        tune_config=tune.TuneConfig(
            search_alg=StudySearch(ledger, plan.task, capacity),
            scheduler=StudyScheduler(ledger),
            num_samples=n_trials,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"trial-{trial.config['number']:05d}",
        ),
        run_config=tune.RunConfig(
            **plan.folder.for_tune(),
            stop=StopWhenAsked(ledger, used_up),
            failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS - 1),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2),
            callbacks=[StudyCallback(ledger, lost)],
            verbose=0,
        ),
    )
    tuner.fit()


def _state(plan: Plan, ledger: Ledger) -> RunState:
    if ledger.fatal_error is not None:
        return RunState.FAILED
    study = ledger.study
    complete = n_over(study, plan.only) >= plan.trials or is_exhausted(study)
    complete = complete or budget_used_up(study) is not None
    return RunState.FINISHED if complete else RunState.INTERRUPTED


def _ship_rest(plan: Plan, study: optuna.Study, console: Console) -> None:
    """Ship what an earlier driver could not."""
    from mmsr.tracking.shipper import unshipped

    if unshipped(plan.folder.path, without_password(plan.tracking)):
        waiting = journal_of(plan, study).close(SHIP_SECONDS)
        console.print("tracking: shipped what was waiting" if not waiting else "tracking: away")


def _exit_code(plan: Plan, study: optuna.Study, ledger: Ledger, console: Console) -> int:
    if ledger.fatal_error is not None:
        error = f"stopped: {ledger.stop_reason}: {ledger.fatal_error}"
        hint = "; the same command goes on when that is mended"
        console.print(error + hint, style="red", markup=False, soft_wrap=True)
        return FAILED
    used_up, states = budget_used_up(study), {row.state for row in rows(study)}
    if used_up is not None and ledger.stop_reason == used_up:
        console.print(f"{used_up}; the same command with more of it goes on", soft_wrap=True)
        return OK if "finished" in states or "failed" not in states else FAILED
    if ledger.stop_reason is not None and n_over(study, plan.only) < plan.trials:
        console.print("interrupted; the same command goes on", soft_wrap=True)
        return INTERRUPTED
    return OK if "finished" in states else FAILED

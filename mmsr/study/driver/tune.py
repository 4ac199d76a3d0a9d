"""Ray Tune's search algorithm and scheduler: thin adapters that call the ledger.

They replace Ray's Optuna search and ASHA, which record pruned trials as complete, forget trials
whose last value is NaN, and lose their rungs when the driver ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback, ProgressReporter, Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mmsr.inner_names import (
    allow_deaths,
    drop_unread,
    error_file_of,
    keep_no_snapshots,
    kill_worker,
    kill_workers,
)
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.proposals import Exhausted, Waiting
from mmsr.study.planning.plan import Plan
from mmsr.study.workers.failures import why_it_died
from mmsr.study.workers.messages import Failure, Proposal, Report, Task
from mmsr.study.workers.trial import run_trial

WORKER_DEATHS = 3
"""A trial is given up after this many deaths of its worker without a new epoch in between."""


def tune_trials(
    plan: Plan,
    ledger: Ledger,
    n_trials: int,
    capacity: Callable[[], int],
    used_up: Callable[[], str | None],
    lost: Callable[[], bool],
    ended: Callable[[], None] = lambda: None,
    board: str | None = None,
    *,
    borrowed: bool = False,
) -> None:
    """Let Ray Tune run the trials that a ledger hands out, until it hands out no more.

    Parameters
    ----------
    plan : the study.
    ledger : its bookkeeping.
    n_trials : how many trials to run, beyond those that are already done.
    capacity : returns how many trials fit on the cluster now.
    used_up : returns which budget is used up, in words; None while none is.
    lost : returns whether no node is left that trials could run on.
    ended : called when a trial has ended and its ending is recorded.
    board : name of the board where trials write how far they are, if there is one.
    borrowed : whether Ray goes on running when the study has ended: nothing may stay on it.
    """
    scheduler = StudyScheduler(ledger)

    def task_of(proposal: Proposal) -> Task:
        return plan.task(proposal).model_copy(update={"board": board})

    tuner = tune.Tuner(
        tune.with_resources(run_trial, plan.resources.for_ray()),
        tune_config=tune.TuneConfig(
            search_alg=StudySearch(ledger, task_of, capacity),
            scheduler=scheduler,
            num_samples=n_trials,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"trial-{trial.config['number']:05d}",
        ),
        run_config=tune.RunConfig(
            **plan.folder.for_tune(),
            stop=StopWhenAsked(ledger, used_up),
            failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS - 1),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2),
            callbacks=[StudyCallback(ledger, lost, ended)],
            progress_reporter=NoReporter(),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except KeyboardInterrupt:  # after which Tune does not clean up
        if borrowed:
            scheduler.kill_trials()
        raise


@contextmanager
def _kept(ledger: Ledger) -> Iterator[None]:
    """Keep an error of the bookkeeping for the driver: Tune would swallow it, or hide its type."""
    try:
        yield
    except Exception as error:
        ledger.broken = ledger.broken or error
        ledger.stop("the bookkeeping failed")


class _StaysHere:
    """Tune pickles its parts in case it is asked to restore them, which never happens here."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class StudySearch(_StaysHere, Searcher):
    """Hands the ledger's proposals to Tune, never more at once than the cluster can run.

    Parameters
    ----------
    ledger : the study's bookkeeping.
    make_task : turns a proposal into the worker's task.
    capacity : returns how many trials fit on the cluster now. A proposal that has to wait would be
        made without the results of the running trials.
    """

    def __init__(
        self,
        ledger: Ledger,
        make_task: Callable[[Proposal], Task],
        capacity: Callable[[], int],
    ) -> None:
        super().__init__(metric="training_iteration", mode="max")
        self._ledger, self._make_task, self._capacity = ledger, make_task, capacity

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Accept what Tune sets, and ignore it: the ledger knows the objective."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next trial's settings; None while the cluster is full, FINISHED at the end."""
        if self._ledger.stop_reason is not None:
            return Searcher.FINISHED
        full = len(self._ledger.live) >= self._capacity()
        if full or (self._ledger.exhausted and self._ledger.live):
            return None
        with _kept(self._ledger):
            try:
                proposal = self._ledger.ask(trial_id)
            except (Exhausted, Waiting):
                return None if self._ledger.live else Searcher.FINISHED
            task = self._make_task(proposal)
            return {"number": proposal.number, "task": task.model_dump_json()}
        return Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Fail a trial that ended without a report of it, if the ledger still holds it.

        Once the study is stopping, trials that the ledger still holds are resumed another time.
        """
        with _kept(self._ledger):
            if self._ledger.stop_reason is None:
                self._ledger.gone(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the state is in Optuna's storage."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class StudyScheduler(_StaysHere, FIFOScheduler):
    """Passes reports to the ledger, which decides whether a trial continues.

    Parameters
    ----------
    ledger : the study's bookkeeping.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger, self._controller = ledger, None

    def kill_trials(self) -> None:
        """Kill the workers of all trials, and free what they had of the cluster."""
        kill_workers(self._controller)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Keep Tune from writing snapshots, when it has made a trial."""
        self._controller = tune_controller
        keep_no_snapshots(tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop the trial when the ledger says that it has ended."""
        over = False  # if the bookkeeping fails, the experiment stops as a whole
        with _kept(self._ledger):
            over = self._note(trial.trial_id, result)
        if self._ledger.makes_progress(trial.trial_id):
            allow_deaths(trial, WORKER_DEATHS - 1)
        return str(TrialScheduler.STOP if over else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Record that the trial's worker has died; Tune may start another."""
        with _kept(self._ledger):
            self._ledger.died(trial.trial_id, why_it_died(error_file_of(trial)))

    def _note(self, runner_id: str, result: dict[str, Any]) -> bool:
        if "failure" in result:
            self._ledger.fail(runner_id, Failure.model_validate_json(result["failure"]))
            return True
        return self._ledger.report(runner_id, Report.model_validate_json(result["report"]))


class StopWhenAsked(_StaysHere, Stopper):
    """Stops the whole experiment when the ledger requests no more trials or the budget is used up.

    Parameters
    ----------
    ledger : the study's bookkeeping.
    used_up : returns which budget is used up, in words; None while none is.
    """

    def __init__(self, ledger: Ledger, used_up: Callable[[], str | None] = lambda: None) -> None:
        self._ledger, self._used_up = ledger, used_up

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stop a single trial: that is up to the scheduler."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop all trials."""
        with _kept(self._ledger):
            if (reason := self._used_up()) is not None:
                self._ledger.stop(reason)
        return self._ledger.stop_reason is not None


class NoReporter(ProgressReporter):
    """Reports nothing. In a notebook, Tune's own reporter clears the cell's output at its start."""

    def should_report(self, trials: Any, done: bool = False) -> bool:
        """Never."""
        return False

    def report(self, trials: Any, done: bool, *sys_info: str) -> None:
        """Nothing to do."""


class StudyCallback(_StaysHere, Callback):
    """Informs the ledger of trials that resume on another worker, and of the loss of all nodes.

    Parameters
    ----------
    ledger : the study's bookkeeping.
    lost : returns whether no node is left that trials could run on; Tune would wait forever.
    ended : called when a trial has ended and its ending is recorded.
    """

    def __init__(
        self,
        ledger: Ledger,
        lost: Callable[[], bool],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger, self._lost, self._ended = ledger, lost, ended

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        """Stop the study if all nodes are lost; kill the workers of trials past the time limit."""
        if self._ledger.stop_reason is None and self._lost():
            self._ledger.halt("no trial can continue", "Ray's last node has died")
        late: list[str] = []
        with _kept(self._ledger):
            late = self._ledger.expire()
        for trial in trials if late else ():
            if trial.trial_id in late:
                kill_worker(trial)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Record that a worker starts to train a trial."""
        self._ledger.running(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Drop what Tune keeps of a trial that has ended."""
        drop_unread(trial)
        self._after()

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Drop what Tune keeps of a trial that it has given up."""
        drop_unread(trial)
        self._after()

    def _after(self) -> None:
        if self._ledger.stop_reason is None:  # else the trial is only interrupted
            with _kept(self._ledger):
                self._ended()

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Record that a trial whose worker died resumes from its checkpoint."""
        with _kept(self._ledger):
            self._ledger.recovered(trial.trial_id)

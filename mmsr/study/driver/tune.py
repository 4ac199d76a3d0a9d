"""Ray Tune's search algorithm and scheduler: thin adapters that ask the ledger.

They replace Ray's own Optuna search and ASHA, which tell pruned trials as complete, forget trials
whose last value is NaN, and lose their rungs with the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.proposals import Exhausted
from mmsr.study.workers.messages import Failure, Proposal, Report, Task

WORKER_DEATHS = 3
"""So often a trial's worker may die without a new epoch between before the trial is given up."""


@contextmanager
def _kept(ledger: Ledger) -> Iterator[None]:
    """Keep an error of the bookkeeping for the runner: Tune would swallow it, or bury its type."""
    try:
        yield
    except Exception as error:
        ledger.broken = ledger.broken or error
        ledger.stop("the bookkeeping failed")


class _StaysHere:
    """Tune pickles its parts in case it is asked to restore them, which it never is here."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class StudySearch(_StaysHere, Searcher):
    """Hands the ledger's proposals to Tune, never more at once than the cluster can run.

    Parameters
    ----------
    ledger : the study's bookkeeping.
    make_task : turns a proposal into what the worker gets.
    capacity : how many trials fit on the cluster now; a proposal that has to wait would be made
        without knowing what the running trials find.
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
        """The objective is the ledger's business."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next trial's settings, None while the cluster is full, FINISHED at the end."""
        if self._ledger.stop_reason is not None:
            return Searcher.FINISHED
        full = len(self._ledger.live) >= self._capacity()
        if full or (self._ledger.exhausted and self._ledger.live):
            return None
        with _kept(self._ledger):
            try:
                proposal = self._ledger.ask(trial_id)
            except Exhausted:
                return None if self._ledger.live else Searcher.FINISHED
            task = self._make_task(proposal)
            return {"number": proposal.number, "task": task.model_dump_json()}
        return Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial has ended; if the ledger still holds it, without a last word.

        Once the study is to stop, what is still held goes on another time.
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
    """Passes reports to the ledger, which decides whether a trial goes on."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Keep Tune from writing down all trials whenever one has saved two checkpoints.

        That grows with every trial, and nobody reads it: the study's state is in Optuna's storage.
        """
        tune_controller._checkpoint_manager._sync_every_n_trial_checkpoints = None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop the trial when the ledger says that it is over."""
        over = False  # should the bookkeeping fail, the experiment stops as a whole
        with _kept(self._ledger):
            over = self._note(trial.trial_id, result)
        if self._ledger.makes_progress(trial.trial_id):
            # Tune counts deaths before this epoch as well.
            trial.max_failures = trial.num_failures + WORKER_DEATHS - 1
        decision: str = TrialScheduler.STOP if over else TrialScheduler.CONTINUE
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The trial's worker has died; Tune may start another."""
        with _kept(self._ledger):
            self._ledger.died(trial.trial_id, _last_error(trial))

    def _note(self, runner_id: str, result: dict[str, Any]) -> bool:
        if "failure" in result:
            self._ledger.fail(runner_id, Failure.model_validate_json(result["failure"]))
            return True
        return self._ledger.report(runner_id, Report.model_validate_json(result["report"]))


class StopWhenAsked(_StaysHere, Stopper):
    """Stops the whole experiment when the ledger wants no more, or the budget is used up."""

    def __init__(self, ledger: Ledger, used_up: Callable[[], str | None] = lambda: None) -> None:
        self._ledger, self._used_up = ledger, used_up

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Single trials are the scheduler's business."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop all trials."""
        with _kept(self._ledger):
            if (reason := self._used_up()) is not None:
                self._ledger.stop(reason)
        return self._ledger.stop_reason is not None


class StudyCallback(_StaysHere, Callback):
    """Tells the ledger of trials that go on on another worker, and of the end of all nodes.

    Parameters
    ----------
    ledger : the study's bookkeeping.
    lost : whether no node is left that trials could go on on; Tune would wait for ever.
    """

    def __init__(self, ledger: Ledger, lost: Callable[[], bool]) -> None:
        self._ledger, self._lost = ledger, lost

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        """Tune looks for news."""
        if self._ledger.stop_reason is None and self._lost():
            self._ledger.halt("no trial can go on", "Ray's node on this machine has died")
        late: list[str] = []
        with _kept(self._ledger):
            late = self._ledger.expire()
        for trial in trials if late else ():
            if trial.trial_id in late:
                _kill_worker(trial)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A worker begins to train a trial."""
        self._ledger.running(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial is over."""
        _drop_unread(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Tune has given a trial up."""
        _drop_unread(trial)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial's worker died; Tune starts it anew from its checkpoint."""
        with _kept(self._ledger):
            self._ledger.recovered(trial.trial_id)


def _drop_unread(trial: Any) -> None:
    """Drop what Tune keeps of a trial that is over and nobody reads: a study may have thousands."""
    kept = trial.run_metadata
    kept.metric_analysis.clear()
    kept.metric_n_steps.clear()
    # The task comes back from the worker with each report.
    checkpoints = (found.metrics for found in kept.checkpoint_manager.best_checkpoint_results)
    for result in (kept.last_result, *checkpoints):
        result.pop("config", None)
    trial.config.pop("task", None)


def _kill_worker(trial: Any) -> None:
    """End the process that trains a trial, which is not to be started again."""
    import ray

    trial.max_failures = 0
    if (worker := trial.temporary_state.ray_actor) is not None:
        ray.kill(worker)


def _last_error(trial: Any) -> str:
    """The line of the newest failure that Tune noted for a trial which says what happened."""
    try:
        lines = [line.strip() for line in Path(trial.error_file).read_text().splitlines()]
    except (OSError, TypeError):
        return "unknown reason"
    last = max((i for i, line in enumerate(lines) if line.startswith("Failure #")), default=-1)
    told = [line for line in lines[last + 1 :] if line] or ["unknown reason"]
    raised = "ray::" in told[0]  # then a traceback follows, and ends with the error
    if raised:
        return told[-1]
    # Ray names the system's OOM killer among the causes of any death: that says nothing.
    memory = (line for line in told if "low on memory" in line or "memory monitor" in line)
    return next(memory, told[0])

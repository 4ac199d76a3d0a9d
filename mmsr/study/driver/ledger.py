"""The study's bookkeeping: which trials were proposed, what they reported, how they ended.

Everything is written to Optuna's storage at once, so a driver may be killed at any moment. A
trial's start is written there first and announced to the observers afterwards; an epoch or an
ending is announced first and written afterwards. So whatever the storage records as reported or
ended has reached every observer. After a crash an observer may receive an event twice, which
changes nothing. The ledger knows nothing of Ray: `mmsr.study.driver.tune` calls it.

Rules
-----
- A finished trial is COMPLETE with the value of its best epoch. One that was stopped early is
  PRUNED, one that raised an error or has an objective that is not finite is FAIL. All count towards
  the number of trials.
- An interrupted trial is FAIL too; the successor that resumes it counts in its place (see
  `mmsr.study.storage.lineage`).
- A proposal is refused if it is no valid config, equals an earlier one, or is not among the only
  settings to run. It becomes FAIL with the attribute `invalid`, does not count, and another one is
  requested. Once a finite space has no proposal left, the study ends.
- A trial that another client has enqueued runs if its settings lie within the space, else it is
  refused in the same way. Trials that others run are passed over (`mmsr.study.storage.outside`).
- `mmsr.study.workers.failures` lists the kinds of failures: which are retried, and which stop the
  study.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.trial import TrialState

from mmsr.format import plural
from mmsr.remote import AnyPath
from mmsr.study.driver.proposals import Exhausted, Proposals
from mmsr.study.driver.running_trial import RunningTrial
from mmsr.study.planning.rules import Rules
from mmsr.study.storage.attributes import OUTCOME
from mmsr.study.storage.lineage import current, drop_resumption, note_value, queue_again
from mmsr.study.storage.outside import trials_of
from mmsr.study.storage.progress import take_back, taken_back
from mmsr.study.storage.single_writer import together
from mmsr.study.workers.failures import alike
from mmsr.study.workers.messages import Ending, Failure, Observer, Observers, Proposal, Report
from mmsr.tracking import RunState

SAME_FAILURES = 3
"""A study stops when this many of its first trials fail with the same error."""


class Ledger:
    """Bookkeeping of one driver's run of a study.

    A trial is identified by `runner_id`, the id that Ray Tune gave it.

    Parameters
    ----------
    study : the Optuna study.
    rules : what may be run, and when a trial ends.
    checkpoints : folder with one sub-folder per trial.
    driver, code : name and code versions of this driver, recorded with each trial.
    observers : notified of each start, epoch, recovery and ending.
    run_id : returns the tracking server's id of a run by its key, or None while it is unknown.
    """

    def __init__(
        self,
        study: optuna.Study,
        rules: Rules,
        checkpoints: AnyPath,
        *,
        driver: str = "",
        code: Mapping[str, str] | None = None,
        observers: Sequence[Observer] = (),
        run_id: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.study, self.rules, self._checkpoints = study, rules, checkpoints
        self._proposals = Proposals(study, rules, checkpoints)
        self._driver, self._code = driver, dict(code or {})
        self._observers, self._run_id = Observers(observers), run_id
        self._live: dict[str, RunningTrial] = {}
        self._first: list[tuple[int, Ending]] = []
        self._judges_first = not (rules.retries and self._has_finished())
        self.stop_reason: str | None = None
        """Why no more trials are requested; None as long as they are."""
        self.exhausted = False
        """Whether the space has nothing left to propose."""
        self.fatal_error: str | None = None
        """The error that stopped the study: all first trials had it, or no trial can run."""
        self.broken: Exception | None = None
        """An error of the bookkeeping itself, for the driver to raise."""

    @property
    def live(self) -> tuple[str, ...]:
        """Ids of the running trials."""
        return tuple(self._live)

    @property
    def exhausted_models(self) -> frozenset[str]:
        """Those of several models whose space has nothing left to propose."""
        return self._proposals.exhausted_models

    def stop(self, reason: str) -> None:
        """Request no more trials, for the given reason; the runner then stops the running ones."""
        self.stop_reason = self.stop_reason or reason

    def halt(self, reason: str, error: str) -> None:
        """Stop the study because of an error that no trial caused; running trials can be resumed.

        Parameters
        ----------
        reason : what the error prevents; shown to the user before it.
        error : the error, in one line.
        """
        self.fatal_error = self.fatal_error or error
        self.stop(reason)

    def reclaim(self) -> int:
        """Queue again the trials that an earlier driver left unfinished; returns their number."""
        back = taken_back(self.study)
        running = TrialState.RUNNING
        left = [t for t in trials_of(self.study) if t.state == running or t.number in back]
        return sum(queue_again(self.study, trial) for trial in left)

    def ask(self, runner_id: str) -> Proposal:
        """Take the next trial for the runner's `runner_id`: a queued one, or a new proposal.

        Raises
        ------
        Exhausted : the space is finite, and all of it has been proposed.
        Waiting : trials have to end before it is known which model gets the next one.
        UserError : the space yields hardly any valid config, or another client has added a trial
            that keeps the study from running its own.
        """
        marks = {"ray_trial_id": runner_id, "driver": self._driver, "code": self._code}
        try:
            trial, proposal = self._proposals.take(marks)
        except Exhausted:
            self.exhausted = True
            raise
        self._observers.started(proposal, runner_id)
        self._live[runner_id] = RunningTrial(trial, proposal, set(proposal.curve))
        return proposal

    def report(self, runner_id: str, report: Report) -> bool:
        """Record a finished epoch; returns whether the trial has ended and its worker should stop.

        Parameters
        ----------
        runner_id, report : the trial, and its state after the epoch.
        """
        entry = self._live.get(runner_id)
        if entry is None:
            return True
        objective = self.rules.objective
        if (failure := _not_finite(report.metrics, [objective])) is not None:
            self.fail(runner_id, failure)
            return True
        entry.report, entry.since = report, time.monotonic()
        if new := report.epoch not in entry.reported:
            entry.reported.add(report.epoch)
            entry.deaths.clear()
            self._observers.reported(entry.proposal, report)
        with together(self.study):
            if new:
                value = report.metrics[objective]
                note_value(entry.trial, report.epoch, value, alone=self.rules.single_objective)
            stoppable = self.rules.single_objective and not report.finished
            weak = stoppable and entry.trial.should_prune()
        if report.finished:
            self._finish(runner_id, report)
        elif report.seconds >= self.rules.time_limit:
            self._fail_for_time(runner_id)
        elif weak:
            self._end(runner_id, RunState.PRUNED)
        return runner_id not in self._live

    def _finish(self, runner_id: str, report: Report) -> None:
        if (failure := _not_finite(report.best_metrics, self.rules.against)) is not None:
            self.fail(runner_id, failure)
        else:
            self._end(runner_id, RunState.FINISHED)

    def fail(self, runner_id: str, failure: Failure) -> None:
        """Record that a trial raised an error; an error of the machine stops the study instead.

        Parameters
        ----------
        runner_id, failure : the trial, and the error.
        """
        if (entry := self._live.get(runner_id)) is None:
            return
        if failure.environment:
            self.halt(f"trial {entry.proposal.number} could not continue", failure.error)
        else:
            self._end(runner_id, RunState.FAILED, failure)

    def running(self, runner_id: str) -> None:
        """Record that a worker starts to train the trial `runner_id`."""
        if (entry := self._live.get(runner_id)) is not None:
            entry.since = time.monotonic()

    def expire(self) -> list[str]:
        """Fail the trials past the time limit that sent no report; returns their ids."""
        late = [i for i, entry in self._live.items() if entry.trained > self.rules.time_limit]
        for runner_id in late:
            self._fail_for_time(runner_id)
        return late

    def died(self, runner_id: str, reason: str) -> None:
        """Record that a worker of `runner_id` died of `reason`; the runner may start another."""
        if (entry := self._live.get(runner_id)) is not None:
            entry.deaths.append(reason)
            entry.since = None

    def makes_progress(self, runner_id: str) -> bool:
        """Whether `runner_id` is running and has lost no worker since its newest epoch."""
        return (entry := self._live.get(runner_id)) is not None and not entry.deaths

    def recovered(self, runner_id: str) -> None:
        """Record that the trial `runner_id` resumes from its checkpoint on another worker."""
        if (entry := self._live.get(runner_id)) is not None:
            self._observers.recovered(entry.proposal, entry.deaths[-1])

    def gone(self, runner_id: str) -> None:
        """Fail the trial `runner_id`, which the runner gave up, unless its ending is recorded."""
        if (entry := self._live.get(runner_id)) is not None:
            deaths = entry.deaths
            error = (
                f"worker died {plural(len(deaths), 'time')}: {deaths[-1]}"
                if deaths
                else "no result"
            )
            self.fail(runner_id, Failure(error=error, traceback="\n".join(deaths)))

    def release(self) -> int:
        """Queue again all trials that this driver is still running; returns their number."""
        released = list(self._live)
        for runner_id in released:
            entry = self._live.pop(runner_id)
            ending = Ending(RunState.INTERRUPTED, entry.report, entry.seconds)
            self._observers.ended(entry.proposal, ending)
            trials = self.study.get_trials(deepcopy=False)
            queue_again(self.study, trials[entry.proposal.number])
        return len(released)

    def _end(self, runner_id: str, state: RunState, failure: Failure | None = None) -> None:
        entry = self._live[runner_id]
        error, traceback = (failure.error, failure.traceback) if failure else (None, None)
        ending = Ending(state, entry.report, entry.seconds, error, traceback)
        self._observers.ended(entry.proposal, ending)
        trial, pruned = entry.trial, state is RunState.PRUNED
        with together(self.study):
            if (run := self._run_id(entry.proposal.key)) is not None:
                trial.set_user_attr("mlflow_run_id", run)
            trial.set_user_attr(OUTCOME, ending.outcome())
            if state is RunState.FINISHED and entry.report is not None:
                best, names = entry.report.best_metrics, (self.rules.objective, *self.rules.against)
                self.study.tell(trial, [best[name] for name in names])
            else:
                self.study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)
        del self._live[runner_id]
        if state is not RunState.FAILED:
            drop_resumption(self.study, trial.number, self._checkpoints)
        if self._judges_first and len(self._first) < SAME_FAILURES:
            self._first.append((trial.number, ending))
            self._judge_failures(self._first)

    def _judge_failures(self, first: Sequence[tuple[int, Ending]]) -> None:
        errors = {alike(ending.error) for _, ending in first}
        failed = all(ending.state is RunState.FAILED for _, ending in first)
        if len(first) == SAME_FAILURES and failed and len(errors) == 1:
            self.fatal_error = first[0][1].error
            take_back(self.study, (number for number, _ in first))
            self.stop(f"the first {SAME_FAILURES} trials failed with the same error")

    def _fail_for_time(self, runner_id: str) -> None:
        epochs = report.epoch if (report := self._live[runner_id].report) else 0
        hours = f"{self.rules.time_limit / 3600:.3g}"
        were = "hour was" if hours == "1" else "hours were"
        error = f"time limit: {hours} {were} used up after epoch {epochs}"
        self.fail(runner_id, Failure(error=error, traceback=""))

    def _has_finished(self) -> bool:
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return bool(current(complete))


def _not_finite(metrics: Mapping[str, float], names: Sequence[str]) -> Failure | None:
    """The failure of a trial for which one of these metrics is missing or not finite."""
    for name in names:
        if not math.isfinite(value := metrics.get(name, math.nan)):
            return Failure(error=f"{name} is {value}", traceback="")
    return None

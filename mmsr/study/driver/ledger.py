"""The study's bookkeeping: who was asked, what was reported, how it ended.

Everything goes to Optuna's storage at once, so that a driver may die at any moment. Observers are
told of a begin after the storage has it, of an epoch or an end before: of what the storage has as
reported or over, all was noted everywhere, and what is told twice changes nothing. The ledger knows
nothing of Ray; the runner's adapters call it.

Rules
-----
- A finished trial is COMPLETE with the value of its best epoch, one that was stopped early PRUNED,
  one that raised or whose objective is not finite FAIL. These count towards the number of trials.
- A trial that was interrupted is FAIL as well, but a successor takes its place and counts instead
  (see `mmsr.study.storage.lineage`).
- A proposal that is no valid config, not among the only ones to be run, or the same as an earlier
  one is FAIL (`invalid`), does not count, and another is asked for. When a finite space has no more
  of them, the study is at its end.
- `mmsr.study.workers.failures` has the kinds of failures, and how often each is retried.
- When the first trials of a driver all fail with the same error, the study stops with that error;
  they do not count, and the next driver tries them again. Where failed trials may be tried
  again anyway, this holds until one has finished: after that, the error is theirs alone.
- When the machine is at fault (a full disk), the study stops, and its trials are interrupted ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from mmsr.config import Config
from mmsr.remote import AnyPath
from mmsr.study.driver.proposals import Exhausted, Proposals
from mmsr.study.search.space import Space
from mmsr.study.storage.lineage import current, drop_resumption, note_value, queue_again
from mmsr.study.storage.progress import take_back, taken_back
from mmsr.study.storage.single_writer import together
from mmsr.study.workers.failures import alike
from mmsr.study.workers.messages import Ending, Failure, Observer, Proposal, Report
from mmsr.tracking import RunState

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SAME_FAILURES = 3
"""So many trials failing alike at the start stop the study."""


class Ledger:
    """Bookkeeping of one driver's run of a study.

    Parameters
    ----------
    study : the Optuna study.
    space, base : what is varied, and the config that it is varied on.
    objective : validation metric to maximise.
    against : further objectives, taken at the epoch that is best by the first; no trial is stopped
        early then.
    checkpoints : folder with one sub-folder a trial.
    time_limit : most seconds that a trial may train; None sets no limit.
    startup_trials : trials that must be complete before any is stopped early.
    only : the settings that may be run, as Optuna keeps them; None where any may.
    retries : trials that failed may be tried again by a later driver.
    systematic : go through the space setting by setting rather than sample it.
    config_of : makes a config of settings; None applies them to `base`.
    driver, code : name and code versions of this driver, noted with each trial.
    observers : told of everything that happens.
    run_id : tracking server's id of a run by its key, once known.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        base: Config,
        objective: str,
        checkpoints: AnyPath,
        *,
        against: Sequence[str] = (),
        time_limit: float | None = None,
        startup_trials: int = 0,
        only: Sequence[Mapping[str, Any]] | None = None,
        retries: bool = False,
        systematic: bool = False,
        config_of: Callable[[Mapping[str, Any]], Config] | None = None,
        driver: str = "",
        code: Mapping[str, str] | None = None,
        observers: Sequence[Observer] = (),
        run_id: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.study, self.objective, self.against = study, objective, tuple(against)
        self._checkpoints, self._startup_trials = checkpoints, startup_trials
        self._proposals = Proposals(
            study, space, base, checkpoints, only=only, systematic=systematic, config_of=config_of
        )
        self._driver, self._code = driver, dict(code or {})
        self._observers, self._run_id = observers, run_id
        self._time_limit = math.inf if time_limit is None else time_limit
        self._live: dict[str, Live] = {}
        self._first: list[tuple[int, Ending]] = []
        self._judges_first = not (retries and self._complete())
        self.stop_reason: str | None = None
        """Why no more trials are wanted; None while they are."""
        self.exhausted = False
        """Whether the space has nothing left to propose."""
        self.fatal_error: str | None = None
        """The error that ended the study: the first trials all had it, or no trial can go on."""
        self.broken: Exception | None = None
        """An error of the bookkeeping itself, which the runner is to raise."""

    @property
    def live(self) -> tuple[str, ...]:
        """Runner's ids of the trials under way."""
        return tuple(self._live)

    def stop(self, reason: str) -> None:
        """Ask for no more trials, and let the runner stop those under way."""
        self.stop_reason = self.stop_reason or reason

    def halt(self, reason: str, error: str) -> None:
        """Stop with an error that is no trial's own; those under way go on another time."""
        self.fatal_error = self.fatal_error or error
        self.stop(reason)

    def reclaim(self) -> int:
        """Queue again what an earlier driver left under way; returns the number of trials."""
        back = taken_back(self.study)
        left = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state == TrialState.RUNNING or trial.number in back
        ]
        return sum(queue_again(self.study, trial) for trial in left)

    def ask(self, runner_id: str) -> Proposal:
        """Take the next trial: a queued one, or a new proposal.

        Raises
        ------
        Exhausted : the space is finite, and nothing is left of it.
        UserError : the space gives hardly any valid config.
        """
        try:
            with together(self.study):
                trial, proposal = self._proposals.take()
                for name, value in {
                    "config": proposal.config.to_dict(),
                    "key": proposal.key,
                    "ray_trial_id": runner_id,
                    "driver": self._driver,
                    "code": self._code,
                }.items():
                    trial.set_user_attr(name, value)
                inherited = self._inherit_curve(trial, proposal)
        except Exhausted:
            self.exhausted = True
            raise
        self._tell_observers("started", proposal, runner_id)
        self._live[runner_id] = Live(trial, proposal, inherited)
        return proposal

    def report(self, runner_id: str, report: Report) -> bool:
        """Note an epoch; True if the trial is over and its worker should stop."""
        entry = self._live.get(runner_id)
        if entry is None:
            return True
        value = report.metrics.get(self.objective, math.nan)
        if not math.isfinite(value):
            self.fail(runner_id, Failure(error=f"{self.objective} is {value}", traceback=""))
            return True
        entry.report, entry.since = report, time.monotonic()
        if new := report.epoch not in entry.reported:
            entry.reported.add(report.epoch)
            entry.deaths.clear()
            self._tell_observers("reported", entry.proposal, report)
        with together(self.study):
            if new:
                note_value(entry.trial, report.epoch, value, alone=not self.against)
            stoppable = not self.against and not report.finished
            weak = stoppable and entry.trial.should_prune()
        if report.finished:
            self._finish(runner_id, report)
        elif report.seconds >= self._time_limit:
            self._fail_for_time(runner_id)
        elif weak and self._enough_complete():
            self._end(runner_id, RunState.PRUNED)
        return runner_id not in self._live

    def _finish(self, runner_id: str, report: Report) -> None:
        for objective in self.against:
            value = report.best_metrics.get(objective, math.nan)
            if not math.isfinite(value):
                self.fail(runner_id, Failure(error=f"{objective} is {value}", traceback=""))
                return
        self._end(runner_id, RunState.FINISHED)

    def fail(self, runner_id: str, failure: Failure) -> None:
        """Note that a trial raised."""
        if (entry := self._live.get(runner_id)) is None:
            return
        if failure.environment:
            self.halt(f"trial {entry.proposal.number} could not go on", failure.error)
        else:
            self._end(runner_id, RunState.FAILED, failure)

    def running(self, runner_id: str) -> None:
        """Note that a worker begins to train the trial."""
        if (entry := self._live.get(runner_id)) is not None:
            entry.since = time.monotonic()

    def expire(self) -> list[str]:
        """Fail the trials that have trained too long without a report; their workers must go."""
        late = [i for i, entry in self._live.items() if entry.trained > self._time_limit]
        for runner_id in late:
            self._fail_for_time(runner_id)
        return late

    def died(self, runner_id: str, reason: str) -> None:
        """Note that a trial's worker died; the runner may start another."""
        if (entry := self._live.get(runner_id)) is not None:
            entry.deaths.append(reason)
            entry.since = None

    def makes_progress(self, runner_id: str) -> bool:
        """Whether a trial is under way, and none of its workers died since its newest epoch."""
        return (entry := self._live.get(runner_id)) is not None and not entry.deaths

    def recovered(self, runner_id: str) -> None:
        """Note that the trial goes on from its checkpoint on another worker."""
        if (entry := self._live.get(runner_id)) is not None:
            self._tell_observers("recovered", entry.proposal, entry.deaths[-1])

    def gone(self, runner_id: str) -> None:
        """Note that the runner has given a trial up, if it had no last word."""
        if (entry := self._live.get(runner_id)) is not None:
            deaths = entry.deaths
            error = f"worker died {len(deaths)} times: {deaths[-1]}" if deaths else "no result"
            self.fail(runner_id, Failure(error=error, traceback="\n".join(deaths)))

    def release(self) -> int:
        """Queue again what is still under way in this driver; returns the number of trials."""
        released = list(self._live)
        for runner_id in released:
            entry = self._live.pop(runner_id)
            ending = Ending(RunState.INTERRUPTED, entry.report, entry.seconds)
            self._tell_observers("ended", entry.proposal, ending)
            trials = self.study.get_trials(deepcopy=False)
            queue_again(self.study, trials[entry.proposal.number])
        return len(released)

    def _inherit_curve(self, trial: optuna.Trial, proposal: Proposal) -> set[int]:
        """Report again what was reported before the checkpoint, and note the rungs passed."""
        for step, value in proposal.curve.items():
            note_value(trial, step, value, alone=not self.against)
            if not self.against:
                trial.should_prune()
        return set(proposal.curve)

    def _end(self, runner_id: str, state: RunState, failure: Failure | None = None) -> None:
        entry = self._live[runner_id]
        error, traceback = (failure.error, failure.traceback) if failure else (None, None)
        ending = Ending(state, entry.report, entry.seconds, error, traceback)
        self._tell_observers("ended", entry.proposal, ending)
        trial, pruned = entry.trial, state is RunState.PRUNED
        with together(self.study):
            if (run := self._run_id(entry.proposal.key)) is not None:
                trial.set_user_attr("mlflow_run_id", run)
            trial.set_user_attr("outcome", ending.outcome())
            if state is RunState.FINISHED and entry.report is not None:
                best = entry.report.best_metrics
                self.study.tell(trial, [best[name] for name in (self.objective, *self.against)])
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
            self.stop(f"the first {SAME_FAILURES} trials failed alike")

    def _fail_for_time(self, runner_id: str) -> None:
        epochs = report.epoch if (report := self._live[runner_id].report) else 0
        hours = f"{self._time_limit / 3600:.3g} hours"
        error = f"time limit: {hours} were over after epoch {epochs}"
        self.fail(runner_id, Failure(error=error, traceback=""))

    def _enough_complete(self) -> bool:
        return len(self._complete()) >= self._startup_trials

    def _complete(self) -> list[FrozenTrial]:
        return current(self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))

    def _tell_observers(self, what: str, *arguments: Any) -> None:
        for observer in self._observers:
            getattr(observer, what)(*arguments)


@dataclass
class Live:
    """A trial that the runner has."""

    trial: optuna.Trial
    proposal: Proposal
    reported: set[int]
    started: float = field(default_factory=time.monotonic)
    report: Report | None = None
    deaths: list[str] = field(default_factory=list)
    """What its workers died of since its newest epoch."""
    since: float | None = None
    """When a worker began to train it, or last reported; None while none has it."""

    @property
    def trained(self) -> float:
        """Seconds of training, those since the last report included."""
        told = self.report.seconds if self.report else 0.0
        return told if self.since is None else told + time.monotonic() - self.since

    @property
    def seconds(self) -> float:
        return self.report.seconds if self.report else time.monotonic() - self.started

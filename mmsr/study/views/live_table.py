"""The screen of a running study: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mmsr.console import Console
from mmsr.errors import printable
from mmsr.format import percent, seconds
from mmsr.study.views.tables import STYLES
from mmsr.study.workers.messages import Ending, Proposal, Report
from mmsr.tracking import RunState

_FRAME = 9
"""Lines of the screen for the table's head and foot, and for notes."""
_KEPT = 200
"""Ended trials to keep, more than a screen holds; a study may have thousands."""


@dataclass
class _Row:
    proposal: Proposal
    state: str = "running"
    epoch: int = 0
    value: float | None = None
    best: float | None = None
    started: float = field(default_factory=time.monotonic)
    seconds: float | None = None


def name_by_number(proposal: Proposal) -> str:
    """The number of the trial `proposal`, which is how most studies name their trials."""
    return str(proposal.number)


def with_model(name_of: Callable[[Proposal], str]) -> Callable[[Proposal], str]:
    """A function that names a trial as `name_of` does, and its model."""
    return lambda proposal: f"{name_of(proposal)} {proposal.config.model.name}"


class Display:
    """Observer that shows trials; to be used as a context.

    Parameters
    ----------
    console : where to show them.
    objective : metric to show, in percent.
    total, done : number of trials to run in all, and of those done before.
    best : best value so far; None if there is none.
    name_of : returns what a trial is called.
    contest : whether trials compete, so that the best one is marked.
    """

    def __init__(
        self,
        console: Console,
        objective: str,
        *,
        total: int,
        done: int,
        best: float | None,
        name_of: Callable[[Proposal], str] = name_by_number,
        contest: bool = True,
    ) -> None:
        self._console, self._objective, self._name_of = console, objective, name_of
        self._contest = contest
        self._total, self._done, self._best = total, done, best
        self._rows: dict[int, _Row] = {}
        self._failed = 0
        self._begun = time.monotonic()
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=True,
            redirect_stderr=True,
        )

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def note(self, message: str) -> None:
        """Print a message beside the table."""
        self._console.print(message, style="dim", soft_wrap=True)

    def started(self, proposal: Proposal, runner_id: str) -> None:
        """Add the row of a trial that was handed to the runner."""
        self._rows[proposal.number] = _Row(proposal, epoch=proposal.epochs_done)
        now = self._name_of(proposal)
        earlier = proposal.number if proposal.follows is None else proposal.follows
        before = self._name_of(replace(proposal, number=earlier))
        epochs = proposal.epochs_done
        since = f"from epoch {epochs}" if epochs else "from the beginning"
        if before != now:
            self.note(f"trial {before} continues as trial {now}, {since}")
        elif proposal.checkpoint is not None:
            self.note(f"trial {now} resumes {since}")

    def reported(self, proposal: Proposal, report: Report) -> None:
        """Update the row of a trial after an epoch."""
        row = self._rows[proposal.number]
        row.epoch = report.epoch
        row.value = report.metrics.get(self._objective)
        row.best = report.best_metrics.get(self._objective)

    def recovered(self, proposal: Proposal, reason: str) -> None:
        """Print why a trial's worker died; the trial resumes on another."""
        self.note(f"trial {self._name_of(proposal)}: its worker died ({reason}); it is resumed")

    def ended(self, proposal: Proposal, ending: Ending) -> None:
        """Print how a trial ended."""
        row = self._rows[proposal.number]
        row.state, row.seconds = ending.state.value, ending.seconds
        over = [number for number, row in self._rows.items() if row.state != "running"]
        for number in over[:-_KEPT]:
            del self._rows[number]
        if ending.state is RunState.INTERRUPTED:
            return
        self._done += 1
        self._failed += ending.state is RunState.FAILED
        if self._contest and ending.state is RunState.FINISHED and row.best is not None:
            record = self._best is None or row.best > self._best
            self._best = row.best if record else self._best
        else:
            record = False
        if not self._console.is_terminal or ending.state is RunState.FAILED:
            self._console.print(self._line(row, ending, record), soft_wrap=True)

    def _line(self, row: _Row, ending: Ending, record: bool) -> Text:
        """One line about a trial that has ended."""
        text = Text(f"[{self._done}/{self._total}] trial {self._name_of(row.proposal)} ")
        words = {"pruned": "stopped early", "failed": "failed"}
        text.append(words.get(row.state, row.state), style=STYLES.get(row.state, ""))
        text.append(f" after epoch {row.epoch}, {seconds(ending.seconds)}")
        if ending.error:
            text.append(f": {printable(ending.error)}")
        elif row.best is not None and ending.report is not None:
            at = f" at epoch {ending.report.best_epoch}"
            text.append(f": {self._objective} {100 * row.best:.3f} %{at}")
            text.append("  best so far" if record else "", style="bold green")
        return text

    def _render(self) -> RenderableType:
        table = Table(expand=False)
        for name in ("trial", "state", "epoch", "now", "best", "time"):
            left = name == "state"
            table.add_column(name, justify="left" if left else "right", min_width=8)
        for row in self._shown():
            style = STYLES.get(row.state, "dim")
            mark = " ★" if row.best is not None and row.best == self._best else ""
            table.add_row(
                self._name_of(row.proposal),
                Text(row.state, style=style),
                f"{row.epoch}/{row.proposal.config.training.epochs}",
                percent(row.value),
                percent(row.best) + mark,
                seconds(row.seconds or time.monotonic() - row.started),
            )
        failed = f", {self._failed} failed" if self._failed else ""
        elapsed = seconds(time.monotonic() - self._begun)
        foot = (
            f"{self._done} of {self._total} trials{failed} · best {self._objective} "
            f"{percent(self._best) or '–'} % · {elapsed} · Ctrl-C stops, resumable"
        )
        return Group(table, Text(foot, style="dim"))

    def _shown(self) -> list[_Row]:
        """The running trials and the newest of the others, as many as the screen holds."""
        everything = list(self._rows.values())
        room = max(4, self._console.height - _FRAME)
        newest = sorted(
            everything, key=lambda row: (row.state == "running", row.proposal.number), reverse=True
        )[:room]
        return sorted(newest, key=lambda row: row.proposal.number)

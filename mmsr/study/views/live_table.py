"""The screen of a running study: a live table on terminals and in notebooks, else plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mmsr.console import Console
from mmsr.errors import printable
from mmsr.format import percent, plural, seconds
from mmsr.pace import Position, Seldom, said_left
from mmsr.study.views.notebook_table import Cells, NotebookTable, as_html
from mmsr.study.views.tables import STYLES
from mmsr.study.workers.messages import Ending, Proposal, Report
from mmsr.tracking import RunState

_HEAD = ("trial", "state", "epoch", "now", "best", "time", "left")
_FRAME = 9
"""Lines of the screen for the table's head and foot, and for notes."""
_MOST_IN_NOTEBOOK = 15
"""Rows of the table in a notebook, which has no screen to fill."""
PIPED_SECONDS = 60.0
"""How often piped output gets a line about the running trials."""
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
    position: Position | None = None
    """Where the trial is in its running epoch, if it has told."""
    left: float | None = None
    """Seconds to its end when it last told."""
    epochs: int | None = None
    """Its most epochs, if it has told others than those of its config."""


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
        self._before, self._lines = done, Seldom(PIPED_SECONDS)
        self._ended = False
        self._live: Live | NotebookTable | None = None
        if console.is_jupyter:
            self._live = NotebookTable(
                lambda: as_html(self._cells(), coloured=_HEAD.index("state"))
            )
        elif console.is_terminal:
            self._live = Live(
                console=console,
                get_renderable=self._render,
                refresh_per_second=4,
                transient=True,
                redirect_stdout=True,
                redirect_stderr=True,
            )

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._ended = True
        if self._live is not None:
            self._live.stop()

    def refresh(self) -> None:
        """Bring a notebook's table up to date; that of a terminal does so by itself."""
        if isinstance(self._live, NotebookTable):
            self._live.refresh()

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
        row.epoch, row.position = report.epoch, None
        row.value = report.metrics.get(self._objective)
        row.best = report.best_metrics.get(self._objective)

    def progressed(self, positions: Mapping[int, Position]) -> None:
        """Note where trials are in their epochs; piped output gets a line now and then.

        Parameters
        ----------
        positions : those that are new, by number of the trial.
        """
        for number, position in positions.items():
            if (row := self._rows.get(number)) is not None and position.epoch > row.epoch:
                row.position, row.left = position, position.left
                row.epochs = position.epochs or row.epochs
        if self._live is None and self._lines.due():
            self._console.print(self._where(), style="dim", soft_wrap=True)

    def _where(self) -> str:
        """One line about the running trials and the study."""
        told = [
            f"trial {self._name_of(row.proposal)}: {_place(row)}"
            for row in list(self._rows.values())
            if row.state == "running"
        ]
        whole = f"{self._done} of {plural(self._total, 'trial')} done"
        return "; ".join([f"{whole}{said_left(self._study_left())}", *told])

    def _study_left(self) -> float | None:
        """Seconds until all trials are done: by the last ones, else by those that have ended."""
        wanted, here = self._total - self._done, self._done - self._before
        running = [row for row in list(self._rows.values()) if row.state == "running"]
        lefts = [left for row in running if (left := _left(row)) is not None]
        if 0 < wanted == len(running) == len(lefts):
            return max(lefts)
        if wanted < 1 or not here:
            return None
        return (time.monotonic() - self._begun) / here * wanted

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
        if self._live is None or ending.state is RunState.FAILED:
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
        cells = self._cells()
        table = Table(expand=False)
        for name in cells.head:
            left = name == "state"
            table.add_column(name, justify="left" if left else "right", min_width=8)
        for (name, state, *figures), style in zip(cells.rows, cells.styles, strict=True):
            table.add_row(name, Text(state, style=style), *figures)
        return Group(table, Text(cells.foot, style="dim"))

    def _cells(self) -> Cells:
        shown = self._shown()
        rows = [
            (
                self._name_of(row.proposal),
                row.state,
                _epoch(row),
                percent(row.value),
                percent(row.best)
                + (" ★" if row.best is not None and row.best == self._best else ""),
                seconds(row.seconds or time.monotonic() - row.started),
                seconds(_left(row)),
            )
            for row in shown
        ]
        failed = f", {self._failed} failed" if self._failed else ""
        elapsed = seconds(time.monotonic() - self._begun) + said_left(self._study_left())
        foot = (
            f"{self._done} of {plural(self._total, 'trial')}{failed} · best {self._objective} "
            f"{percent(self._best) or '–'} % · {elapsed}{self._how_to_stop()}"
        )
        return Cells(_HEAD, rows, [STYLES.get(row.state, "dim") for row in shown], foot)

    def _how_to_stop(self) -> str:
        if self._ended:
            return ""
        what = "the stop button" if isinstance(self._live, NotebookTable) else "Ctrl-C"
        return f" · {what} stops, resumable"

    def _shown(self) -> list[_Row]:
        """The running trials and the newest of the others, as many as the screen holds."""
        everything = list(self._rows.values())
        room = max(4, self._console.height - _FRAME)
        if isinstance(self._live, NotebookTable):
            room = _MOST_IN_NOTEBOOK
        newest = sorted(
            everything, key=lambda row: (row.state == "running", row.proposal.number), reverse=True
        )[:room]
        return sorted(newest, key=lambda row: row.proposal.number)


def _epoch(row: _Row) -> str:
    """The epochs that are done, of how many, and percent of the running one."""
    told = f"{row.epoch}/{_most(row)}"
    if row.state == "running" and row.position is not None:
        told += f" {100 * row.position.share:.0f} %"
    return told


def _place(row: _Row) -> str:
    """Where a running trial is, in words."""
    epochs = _most(row)
    if row.position is None:
        return f"{row.epoch} of {plural(epochs, 'epoch')} done"
    return f"epoch {row.position.epoch} of {epochs}, {row.position}"


def _left(row: _Row) -> float | None:
    """Seconds until the trial ends at the latest, where it has told."""
    return row.left if row.state == "running" else None


def _most(row: _Row) -> int:
    """Most epochs of a trial; a trainer of two stages may run more than its config has."""
    return max(row.epochs or row.proposal.config.training.epochs, row.epoch)

"""The live table of a study with more trials than a screen holds, and that of a notebook."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace

from mmsr.config import Config
from mmsr.console import Console
from mmsr.pace import Position
from mmsr.study.views import live_table, notebook_table
from mmsr.study.views.live_table import _KEPT, Display
from mmsr.study.workers.messages import Ending, Proposal, Report
from mmsr.tracking import RunState


def proposal(number):
    return Proposal(
        number=number,
        key=f"trial-{number:05d}",
        config=Config(dataset="shop"),
        settings={},
        origin="proposed",
        checkpoint=None,
        curve={},
    )


def test_the_running_and_the_newest_trials_are_kept():
    console = Console(file=io.StringIO(), width=100)
    console.height = 2 * _KEPT
    display = Display(console, "valid/mrr@20", total=1000, done=0, best=None)
    display.started(proposal(0), "0")
    for number in range(1, _KEPT + 100):
        display.started(proposal(number), str(number))
        display.ended(proposal(number), Ending(RunState.FINISHED, report=None, seconds=1.0))
    with console.capture() as capture:
        console.print(display._render())
    shown = [int(line.split()[1]) for line in capture.get().splitlines() if "100 " in line]
    assert shown == [0, *range(100, _KEPT + 100)]


class FakeIPython:
    """What a notebook has loaded: it keeps what it is to show."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def display(self, page: str, *, display_id: bool) -> FakeIPython:
        assert display_id, "else it cannot be updated"
        self.pages = [page]
        return self

    def update(self, page: str) -> None:
        self.pages.append(page)

    @staticmethod
    def HTML(text: str) -> str:
        return text


def test_a_notebook_has_one_table_that_is_updated_in_place(monkeypatch):
    shown = FakeIPython()
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    monkeypatch.setattr(notebook_table, "_LEAST_SECONDS", 0)
    console = Console(file=io.StringIO())
    console.is_jupyter = True
    objective = "valid/mrr@20"
    evil = "<script>"
    display = Display(
        console, objective, total=30, done=0, best=None, name_of=lambda one: f"{evil}{one.number}"
    )
    with display:
        assert "0 of 30 trials" in shown.pages[-1]
        assert "the stop button stops, resumable" in shown.pages[-1]
        for number in range(30):
            display.started(proposal(number), str(number))
            metrics = {objective: number / 100}
            report = Report(
                epoch=1, metrics=metrics, best_epoch=1, best_metrics=metrics, finished=True
            )
            display.reported(proposal(number), report)
            display.ended(proposal(number), Ending(RunState.FINISHED, report, seconds=1.0))
        display.refresh()
    last = shown.pages[-1]
    assert "30 of 30 trials" in last
    assert "29.000 ★" in last
    assert "stops, resumable" not in last
    assert last.count("<tr>") == 16, "the head and the newest trials"
    assert evil not in last
    assert "&lt;script&gt;29" in last


def test_a_notebook_is_not_flooded(monkeypatch):
    shown = FakeIPython()
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    table = notebook_table.NotebookTable(lambda: "a table")
    table.start()
    for _ in range(1000):
        table.refresh()
    table.stop()
    assert len(shown.pages) < 100


def report(epoch):
    return Report(epoch=epoch, metrics={}, best_epoch=1, best_metrics={}, finished=False)


def test_a_running_trial_shows_how_far_its_epoch_is_and_the_time_left():
    console = Console(file=io.StringIO(), width=100)
    display = Display(console, "valid/mrr@20", total=3, done=0, best=None)
    for number in range(2):
        display.started(proposal(number), str(number))
    display.progressed({0: Position(1, 0.45, 75.0), 7: Position(1, 0.1, None)})

    def shown():
        with console.capture() as capture:
            console.print(display._render())
        return [re.sub(r"[│ ]+", " ", line) for line in capture.get().splitlines()]

    assert any("0/100 45 %" in line and "75 s" in line for line in shown())
    display.reported(proposal(0), report(1))
    between = [line for line in shown() if "1/100 " in line]
    assert "45 %" not in between[0]
    assert "75 s" in between[0], "the last that is known"
    display.progressed({0: Position(1, 0.99, 70.0)})
    assert not any("99 %" in line for line in shown()), "it is of the epoch before"


def test_epochs_of_a_refit_are_counted_on():
    text = io.StringIO()
    display = Display(Console(file=text), "valid/mrr@20", total=1, done=0, best=None)
    display.started(proposal(0), "0")
    row = display._rows[0]
    display.progressed({0: Position(21, 0.5, 30.0, epochs=30)})
    assert live_table._place(row) == "epoch 21 of 30, 50 %, 30 s left"
    display.reported(proposal(0), report(21))
    assert live_table._epoch(row) == "21/30"
    row.epochs = None
    display.reported(proposal(0), report(101))
    assert live_table._epoch(row) == "101/101", "as resumed, without having told yet"


def test_piped_output_gets_a_line_about_running_trials_now_and_then(monkeypatch):
    monkeypatch.setattr(live_table, "PIPED_SECONDS", 0.0)
    text = io.StringIO()
    display = Display(Console(file=text), "valid/mrr@20", total=1, done=0, best=None)
    display.started(proposal(0), "0")
    display.progressed({})
    display.progressed({0: Position(1, 0.45, 75.0)})
    assert text.getvalue().splitlines() == [
        "0 of 1 trial done; trial 0: 0 of 100 epochs done",
        "0 of 1 trial done, 75 s left; trial 0: epoch 1 of 100, 45 %, 75 s left",
    ]


def test_a_trial_that_changes_its_number_is_named():
    console = Console(file=io.StringIO(), width=100)
    display = Display(console, "valid/mrr@20", total=9, done=0, best=None)
    display.started(replace(proposal(9), follows=0, curve={1: 0.1, 2: 0.2}), "a")
    display.started(replace(proposal(10), follows=4), "b")
    named = Display(
        console, "valid/mrr@20", total=9, done=0, best=None, name_of=lambda one: "row A"
    )
    named.started(replace(proposal(11), follows=5, checkpoint="there", curve={3: 0.1}), "c")
    assert console.file.getvalue().splitlines() == [
        "trial 0 continues as trial 9, from epoch 2",
        "trial 4 continues as trial 10, from the beginning",
        "trial row A resumes from epoch 3",
    ]

"""The live table of a study with more trials than a screen holds."""

from __future__ import annotations

import io
import re

from mmsr.config import Config
from mmsr.console import Console
from mmsr.pace import Position
from mmsr.study.views import live_table
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
    assert any("1/100 " in line and "45 %" not in line for line in shown())
    display.progressed({0: Position(1, 0.99, 70.0)})
    assert not any("99 %" in line for line in shown()), "it is of the epoch before"


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

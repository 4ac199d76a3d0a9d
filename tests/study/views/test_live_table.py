"""The live table of a study with more trials than a screen holds."""

from __future__ import annotations

import io
from dataclasses import replace

from mmsr.config import Config
from mmsr.console import Console
from mmsr.study.views.live_table import _KEPT, Display
from mmsr.study.workers.messages import Ending, Proposal
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

"""How far long work is, and when it ends, by a clock of the test's own."""

from __future__ import annotations

import io
import math

import pytest

from mmsr import pace
from mmsr.console import Console
from mmsr.pace import Pace, Seldom, Steps, progress_line


class Clock:
    """Seconds that the test sets."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_an_epoch_is_training_and_ranking(clock):
    pace = Pace(epochs=3, clock=clock)
    assert pace.at(1, "train", 1, 100).left is None, "too early to tell"
    clock.now = 45
    halfway = pace.at(1, "train", 50, 100)
    assert (halfway.epoch, halfway.share) == (1, pytest.approx(0.45))
    assert halfway.left == pytest.approx(55 + 200)
    clock.now = 60
    assert pace.at(1, "train", 100, 100).share == pytest.approx(0.9)
    clock.now = 80
    assert pace.at(1, "evaluate", 500, 1000).share == pytest.approx(0.95)
    clock.now = 120
    pace.at(1, "evaluate", 1000, 1000)
    second = pace.at(2, "train", 50, 100)
    assert second.share == pytest.approx(0.5 * 80 / 120), "as the first epoch was"
    assert second.left == pytest.approx(120 * (2 - second.share))


def test_without_validation_an_epoch_is_training_alone(clock):
    pace = Pace(epochs=2, clock=clock)
    pace.at(1, "train", 0, 10)
    clock.now = 10
    assert pace.at(2, "train", 5, 10).share == 0.5
    assert str(pace.at(2, "train", 5, 10)) == "50 %, 5 s left"


def test_a_resumed_run_begins_in_the_middle(clock):
    pace = Pace(epochs=10, clock=clock)
    pace.at(7, "train", 0, 10)
    clock.now = 9
    assert pace.at(7, "train", 10, 10).left == pytest.approx(31)


def test_a_run_of_several_stages_tells_how_many_epochs_it_has(clock):
    pace = Pace(epochs=3, clock=clock)
    pace.at(1, "train", 0, 10, math.inf)
    clock.now = 9
    assert pace.at(1, "train", 10, 10, math.inf).left is None, "a refit of unknown length follows"
    clock.now = 10
    refit = pace.at(2, "train", 5, 10, 5)
    assert (refit.left, refit.epochs) == (pytest.approx(35), 5)


def test_beyond_the_last_epoch_no_time_is_told(clock):
    pace = Pace(epochs=1, clock=clock)
    pace.at(1, "train", 0, 10)
    clock.now = 10
    assert pace.at(2, "train", 5, 10).left is None


def test_equal_steps(clock):
    steps = Steps(clock)
    clock.now = 20
    assert steps.at(0, 8) == "0 %"
    assert steps.at(2, 8) == "25 %, 60 s left"


def test_something_passes_seldom(clock):
    seldom = Seldom(2.0, clock)
    passed = []
    for clock.now in (0.5, 1.9, 2.0, 2.1, 3.9, 4.5):
        passed.append(seldom.due())
    assert passed == [False, False, True, False, False, True]


def test_piped_output_gets_a_line_now_and_then(monkeypatch):
    text = io.StringIO()
    for every, lines in ((3600.0, ""), (0.0, "one\ntwo\n")):
        monkeypatch.setattr(pace, "LINE_SECONDS", every)
        with progress_line(Console(file=text), "beginning") as tell:
            tell("one")
            tell("two")
        assert text.getvalue() == lines

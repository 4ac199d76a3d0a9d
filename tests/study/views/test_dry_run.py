"""The screen of `--dry-run`: what is expected is said in natural units."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmsr.study.sizing.probe import Measured
from mmsr.study.views import dry_run


@pytest.mark.parametrize(
    ("epoch_seconds", "time"), [(4, "36 s"), (100, "15 min 00 s"), (600, "1 h 30 min")]
)
def test_the_expected_time_has_natural_units(monkeypatch, epoch_seconds, time):
    monkeypatch.setattr(dry_run, "_at_once", lambda plan: 2)
    training = SimpleNamespace(epochs=3)
    plan = SimpleNamespace(trials=5, base=SimpleNamespace(training=training))
    measured = Measured(train_seconds=epoch_seconds - 1, evaluate_seconds=1, share=1, memory=1)
    expected = f"at most {time}, for 5 trials of 3 epochs at this speed; early stopping"
    assert dry_run._hours(plan, measured).startswith(expected), "three rounds of two at once"

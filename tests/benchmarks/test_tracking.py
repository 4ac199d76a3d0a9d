"""The benchmark of tracking: how it compares epochs, and what it records."""

from __future__ import annotations

import pytest


def test_epochs_with_a_recording_are_compared_with_their_neighbours(load):
    found = load("tracking").shares([9.0, 9.0, 1.0, 1.5, 1.0, 1.5, 1.0])
    assert found["overhead_share"] == pytest.approx(0.5)
    assert found["overhead_error"] == pytest.approx(0.0)
    assert found["epoch_seconds"] == pytest.approx(1.0)


def test_a_driver_is_measured_until_all_is_stored(load, home):
    home.mkdir()
    found = load("tracking").driver_cost(2, 3, home / "driver")
    assert found["blocked_ms_per_trial_epoch"] > 0
    assert found["driver_ms_per_trial_epoch"] > 0

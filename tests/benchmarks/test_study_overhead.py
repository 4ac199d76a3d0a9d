"""The figures of a study's overhead, on times that were made up."""

from __future__ import annotations

import pytest


@pytest.fixture
def study_overhead(load):
    return load("study_overhead")


@pytest.fixture
def run(study_overhead):
    """Two slots: one loses 1 s between trials of 30 s, the other 2 s."""
    clocks, proposed = {}, {}
    for process, pause in ((1, 1.0), (2, 2.0)):
        for place in range(3):
            begun = process + place * (30 + pause)
            trial = f"{process}-{place}"
            clocks[trial] = {"process": process, "begun": begun, "ended": begun + 30}
            proposed[trial] = begun - pause / 2
    return study_overhead.Run(100.0, clocks, proposed)


def test_shares_and_gaps(study_overhead, run):
    figures = study_overhead.slot_figures(run, slots=2, trial_seconds=30.0, end="2")
    assert figures["slot_share_2"] == pytest.approx(4 * 30 / (2 * 31 + 2 * 32))
    assert figures["whole_share_2"] == pytest.approx(6 * 30 / (2 * 100))
    assert figures["gap_seconds_2"] == pytest.approx(1.5)


def test_the_first_trial_of_a_process_is_no_start(run):
    assert sorted(run.starts()) == pytest.approx([0.5, 0.5, 1.0, 1.0])


def test_growth_compares_the_second_fifth_with_the_last(study_overhead, run):
    run.ended = [float(at) for at in range(1, 101)]
    run.samples = [(at / 2, (at / 2) ** 2 / 1000, 100 + at / 2) for at in range(1, 201)]
    figures = study_overhead.growth(run)
    assert figures["elapsed_ms_early"] == pytest.approx(1000, rel=0.06)
    assert figures["elapsed_ms_growth"] == pytest.approx(1, rel=0.06)
    assert figures["driver_ms_growth"] == pytest.approx(90 / 30, rel=0.06)
    assert figures["driver_rss_mb_growth"] == pytest.approx(190 / 130, rel=0.01)


def test_a_growing_driver_misses_its_bar(study_overhead):
    figures = {"slot_share_8": 0.94, "driver_ms_growth": 1.3, "driver_rss_mb_growth": 1.05}
    met = {name: bar["met"] for name, bar in study_overhead.bars(figures).items()}
    assert met == {"slot_share_8": False, "driver_ms_growth": False, "driver_rss_mb_growth": True}


def test_sleeping_trials_sleep_and_note_their_times(load, monkeypatch, tmp_path):
    sleeping = load("sleeping")
    from mmsr.config import Config

    noted = []
    monkeypatch.setenv(sleeping.EPOCH_SECONDS, "0.01")
    monkeypatch.setattr(sleeping, "_note", lambda **times: noted.append(times))
    results = list(sleeping.sleep(Config(dataset="x").replace({"training.epochs": 3}), None))
    assert [(result.epoch, result.finished) for result in results] == [
        (1, False),
        (2, False),
        (3, True),
    ]
    (times,) = noted
    assert times["ended"] - times["begun"] >= 0.03

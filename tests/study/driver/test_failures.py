"""Every kind of failure for real: what is tried again, what is told, and that the study goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows

pytestmark = pytest.mark.slow

EPOCHS = 5
RAISING, MEMORY_ONCE, NO_MEMORY, HANGING, OFTEN_LOST = 13, 16, 17, 18, 19
WIDTHS = [HANGING, 30, RAISING, MEMORY_ONCE, NO_MEMORY, OFTEN_LOST, 31]

STUDY = f"""
from mmsr.study import Int, Study

study = Study(
    dataset="shop",
    name="failures",
    trials={len(WIDTHS)},
    epochs={EPOCHS},
    space={{"model.width": Int(10, 60)}},
    enqueue=[{{"model.width": width}} for width in {WIDTHS}],
    pruner=None,
    trainer="fake_training:train",
)

if __name__ == "__main__":
    study.main()
"""


@pytest.fixture(scope="module")
def place(faked_place):
    return faked_place("failures", STUDY)


@pytest.fixture(scope="module")
def over(place):
    """The study, and what it said."""
    out, _ = place.driver.run("--trial-hours", "0.006")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(place.home))
        found = {row.config.model.width: row for row in rows(look_up("failures").study)}
    return SimpleNamespace(out=out, rows=found)


def test_the_study_goes_on_and_counts_them(over):
    states = {width: row.state for width, row in over.rows.items()}
    assert states == dict.fromkeys(WIDTHS, "failed") | dict.fromkeys(
        (30, 31, MEMORY_ONCE, OFTEN_LOST), "finished"
    )


def test_only_what_may_pass_is_tried_again(place, over):
    lines = place.log.read_text().splitlines()
    assert lines.count(f"{MEMORY_ONCE} 1") == 1, "it went on from its checkpoint"
    assert lines.count(f"{HANGING} 1") == 1
    assert [lines.count(f"{OFTEN_LOST} {epoch}") for epoch in range(1, EPOCHS + 1)] == [1] * EPOCHS
    assert over.rows[NO_MEMORY].error.startswith("worker died 3 times: MemoryError: no room")
    assert over.rows[RAISING].error.startswith("ValueError: width 13 brings bad luck")
    assert over.rows[HANGING].error == "time limit: 0.006 hours were used up after epoch 1"
    assert over.rows[HANGING].epochs == 1


def test_the_summary_has_each_kind(over):
    assert "4 finished, 3 failed" in over.out
    for width, kind in ((RAISING, "raised"), (NO_MEMORY, "out of memory"), (HANGING, "time limit")):
        row = over.rows[width]
        assert f"{kind}, trial {row.number}: {row.error}" in over.out


def test_mlflow_has_the_error_its_kind_and_the_traceback(place, over, tracked_runs):
    runs = {
        int(run.data.params["model.width"]): run for run in tracked_runs(place.home, "failures")
    }
    kinds = {RAISING: "raised", NO_MEMORY: "out of memory", HANGING: "time limit"}
    for width, kind in kinds.items():
        tags = runs[width].data.tags
        assert (runs[width].info.status, tags["mmsr.failure"]) == ("FAILED", kind)
        assert tags["mmsr.error"] == over.rows[width].error
        artifacts = place.home / "mlartifacts" / "failures" / runs[width].info.run_id / "artifacts"
        assert over.rows[width].error in (artifacts / "traceback.txt").read_text()
    text = next(place.home.glob(f"mlartifacts/*/{runs[RAISING].info.run_id}/artifacts/*.txt"))
    assert "in train" in text.read_text()


def test_a_signal_to_the_whole_process_group_stops_in_good_order(place):
    script = place.folder / "group.py"
    script.write_text(STUDY.replace('"failures"', '"group"').replace(str(WIDTHS), "[40, 41, 42]"))
    process = subprocess.Popen(
        [sys.executable, str(script), "--trials", "3"],
        env={**place.driver.environment, "FAKE_EPOCH_SECONDS": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = place.log
    while process.poll() is None and "40 1" not in (log.read_text() if log.exists() else ""):
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=55)  # Ray gives up after 60 s
    assert process.returncode == 130, (out, err)
    assert "the same command resumes the study" in out
    assert "Traceback" not in out + err

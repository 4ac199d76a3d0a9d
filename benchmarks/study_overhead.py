"""What a study costs beside its trials: slot time between them, the first step, the driver.

Trials sleep for a known time (`sleeping.py`), so all else is overhead; the rest is what a user
runs: Ray, Optuna and MLflow on SQLite, checkpoints, default space and sampler. A slot is logical:
its share of this machine's cores. Beside each figure stands `ray_…`: plain Ray Tune (reused actors,
random search, neither Optuna nor MLflow) with as many of the same trials.

- `slot_share_S`: on S slots, the share of trials of 30 s in the time from the end of each slot's
  first trial to the end of its last. `whole_share_S` is that of the whole run of three
  trials a slot (two on 32), with the start of Ray and of its workers and the study's last words.
- `gap_seconds_S`: from a trial's end to the begin of the next on the same slot, median.
  `proposal_seconds_S`: from Optuna's `datetime_start`, when a proposal is begun, to the first step.
- `start_seconds_median`: the demo study trains for real, its actors reused; from `datetime_start`
  to the first call of the model.
- `refusal_seconds`: a study that asks for more GPUs than any node has, from its command to the end;
  the cluster has two logical GPUs.
- growth: trials of 0.3 s on 8 slots. Of the second fifth of the trials and the last, the driver's
  processor time and elapsed time for a trial, and its resident memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import common
from overhead_runs import Run, refused_seconds, run_demo, run_plain, run_study

PARTS = ("2", "8", "32", "start", "refusal", "growth")
OURS_ALONE = ("start", "refusal")
"""Parts of which plain Ray Tune has no counterpart."""
TRIAL_SECONDS, EPOCHS = 30.0, 10
"""Length of a trial where slots are measured, and its reports."""
GROWTH_SLOTS, GROWTH_EPOCHS, GROWTH_EPOCH_SECONDS = 8, 3, 0.1


def growth(run: Run) -> dict[str, float]:
    """Driver's costs for a trial in an earlier fifth of the trials and in the last, and ratios."""
    fifth = len(run.ended) // 5
    figures = {}
    for name, first in (("early", fifth), ("late", 4 * fifth)):
        begin, end = run.ended[first - 1], run.ended[first + fifth - 1]
        inside = [sample for sample in run.samples if begin <= sample[0] <= end]
        processor = inside[-1][1] - inside[0][1]
        elapsed = inside[-1][0] - inside[0][0]
        trials = sum(inside[0][0] <= at <= inside[-1][0] for at in run.ended)
        figures[f"driver_ms_{name}"] = 1e3 * processor / trials
        figures[f"elapsed_ms_{name}"] = 1e3 * elapsed / trials
        figures[f"driver_rss_mb_{name}"] = statistics.median(sample[2] for sample in inside)
    for name in ("driver_ms", "elapsed_ms", "driver_rss_mb"):
        figures[f"{name}_growth"] = figures[f"{name}_late"] / figures[f"{name}_early"]
    return figures


def slot_figures(run: Run, slots: int, trial_seconds: float, end: str) -> dict[str, float]:
    """Shares of slot time and gaps between trials."""
    seconds, trials = run.cycles()
    whole = len(run.clocks) * trial_seconds / (slots * run.seconds)
    return {
        f"slot_share_{end}": trials * trial_seconds / seconds,
        f"whole_share_{end}": whole,
        f"gap_seconds_{end}": statistics.median(run.gaps()),
    }


def measure(part: str, quick: bool, plain: bool, home: Path) -> dict[str, float]:
    """Figures of one part, of `mmsr` or of plain Ray Tune."""
    ray = "ray_" if plain else ""
    run = run_plain if plain else run_study
    if part == "start":
        starts = run_demo(home, 6 if quick else 24).starts()
        return {"start_seconds_median": statistics.median(starts), "start_seconds_max": max(starts)}
    if part == "refusal":
        return {"refusal_seconds": refused_seconds(home)}
    if part == "growth":
        n = 60 if quick else 1000
        found = run(home, n, GROWTH_SLOTS, GROWTH_EPOCHS, GROWTH_EPOCH_SECONDS)
        return {f"{ray}{name}": value for name, value in growth(found).items()}
    slots = int(part)
    waves = 2 if slots == 32 else 3
    trial_seconds = 2.0 if quick else TRIAL_SECONDS
    more = {} if plain else {"pruner": None}
    found = run(home, slots * waves, slots, EPOCHS, trial_seconds / EPOCHS, **more)
    figures = slot_figures(found, slots, trial_seconds, part)
    if not plain:
        figures[f"proposal_seconds_{part}"] = statistics.median(found.starts())
    return {f"{ray}{name}": value for name, value in figures.items()}


def bars(figures: dict[str, float]) -> dict[str, common.Bar]:
    """Limits on what was measured."""
    limits: dict[str, tuple[Callable[[float, float], common.Bar], float]] = {
        **{f"slot_share_{slots}": (common.at_least, 0.95) for slots in (2, 8, 32)},
        "start_seconds_median": (common.at_most, 1.0),
        "refusal_seconds": (common.at_most, 10.0),
        "driver_ms_growth": (common.at_most, 1.2),
        "driver_rss_mb_growth": (common.at_most, 1.1),
    }
    return {
        name: check(limit, figures[name])
        for name, (check, limit) in limits.items()
        if name in figures
    }


def apart(part: str, quick: bool, plain: bool, home: Path) -> dict[str, float]:
    """`measure` in a process of its own, whose output goes to a log."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    log = home / f"{part}-{'plain' if plain else 'mmsr'}.log"
    arguments = (theirs, log, part, quick, plain, home)
    process = context.Process(target=_measure_there, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        figures: dict[str, float] = ours.recv()
    except EOFError:
        raise SystemExit(f"{part} ended early:\n{log.read_text()[-4000:]}") from None
    finally:
        process.join()
    return figures


def _measure_there(answer: Any, log: Path, part: str, quick: bool, plain: bool, home: Path) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    answer.send(measure(part, quick, plain, home))


def prepare(home: Path) -> None:
    """Set up the place where the studies run: a home of its own with the demo shop."""
    os.environ["MMSR_HOME"] = str(home)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(common.ROOT), str(common.ROOT / "benchmarks"), os.getenv("PYTHONPATH")))
    )
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    from mmsr.cli.data.demo import demo

    demo()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.splitlines()[0])
    result.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        help="measure these alone; figures of others that are in the JSON file stay",
    )
    return result


def main() -> None:
    arguments = parser().parse_args()
    parts = arguments.parts or (("8", "start", "growth") if arguments.quick else PARTS)
    machine = common.machine(seconds=0.5)
    figures: dict[str, float] = {}
    made: dict[str, dict[str, str]] = {}
    if arguments.parts and arguments.json and arguments.json.exists():
        kept = json.loads(arguments.json.read_text())
        figures |= kept["figures"]
        made |= kept["made"]
    made |= {part: {"command": common.command(), "commit": common.COMMIT} for part in parts}
    home = Path(tempfile.mkdtemp(prefix="mmsr-overhead-"))
    try:
        prepare(home)
        for part in parts:
            for plain in (False,) if part in OURS_ALONE or arguments.quick else (False, True):
                figures |= apart(part, arguments.quick, plain, home)
                print(f"{part}{', plain Ray Tune' * plain}: {json.dumps(figures)}", flush=True)
    finally:
        shutil.rmtree(home)
    common.write("study_overhead", figures, bars(figures), arguments.json, machine, made=made)


if __name__ == "__main__":
    main()
